/// glibc keeps what is freed in one arena a thread, and its peak varied by a factor of two from run to run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    jetbatch::cli::main()
}
