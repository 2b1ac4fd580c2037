//! The keeper as a unit of systemd.

/// What its unit is called.
pub const NAME: &str = "ideal.service";

/// Its text. The keeper ends what it started in its own way, and what it started outlives its death; what of that eats the
/// memory takes nothing else along. `over` is written by a keeper that is ended, `home` is the machine's.
pub fn keeper(command: &[String], environment: &[String], home: &str, over: &str) -> String {
    let quoted =
        |word: &String| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"));
    let words = |words: &[String]| words.iter().map(quoted).collect::<Vec<_>>().join(" ");
    let (command, environment) = (words(command), words(environment));
    format!(
        "[Unit]
Description=The keeper of this node of ideal
RequiresMountsFor={home} /run/ideal
StartLimitIntervalSec=0

[Service]
Environment={environment}
ExecStartPre=-/bin/rm -f {over}
ExecStart={command}
Restart=always
RestartSec=1
KillMode=process
OOMPolicy=continue
Delegate=yes
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_keeps_words_whole() {
        let words = ["/a b".to_owned(), "50%".to_owned(), "say \"x\\y\"".to_owned()];
        let text = keeper(&words, &["A=b c".to_owned()], "/home", "/home/over");
        assert!(text.contains(r#"ExecStart="/a b" "50%%" "say \"x\\y\"""#), "{text}");
        assert!(text.contains("Environment=\"A=b c\""), "{text}");
    }
}
