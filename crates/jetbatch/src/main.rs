fn main() -> std::process::ExitCode {
    jetbatch::cli::main()
}
