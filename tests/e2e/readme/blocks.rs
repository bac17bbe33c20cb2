//! The command lines of a page's `sh` blocks.

/// In order, each without the remark behind it.
pub fn commands(page: &str) -> Vec<String> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(kind) => is_inside = kind == "sh",
            None if is_inside => found.extend(command(line)),
            None => {}
        }
    }
    found
}

fn command(line: &str) -> Option<String> {
    assert!(!line.ends_with('\\'), "a command has one line: {line}");
    let bare = line.split(" # ").next().unwrap_or_default().trim();
    (!bare.is_empty() && !bare.starts_with('#')).then(|| bare.to_owned())
}

#[test]
fn only_what_a_shell_block_says_is_a_command() {
    let page = "text\n```sh\n# why\na b   # c\n\nd '#e'\n```\n```\n+- tree\n```\n`f`\n```sh\ng\n```\n";
    assert_eq!(commands(page), ["a b", "d '#e'", "g"]);
}
