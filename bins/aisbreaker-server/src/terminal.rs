//! Text of other machines on the terminal of the user of a command.

/// Drops control characters, by which a text could take over the terminal.
pub(crate) fn printable(text: &str) -> String {
    let is_harmless = |c: &char| matches!(c, '\n' | '\t') || !c.is_control();
    text.chars().filter(is_harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_control_the_terminal() {
        assert_eq!(
            printable("a\tb\nü\u{1b}]0;x\u{7}\r\u{9b}2J"),
            "a\tb\nü]0;x2J"
        );
    }
}
