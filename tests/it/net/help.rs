//! Every command of every program, with its usage line, flags, value names, possible values and defaults.

use std::process::Command;

use lab::{bin_dir, run};

const PROGRAMS: [&str; 4] = ["exhibit", "exhibit-agent", "exhibit-server", "exhibit-verify"];

/// Sections of a help text by heading, without the prose above and below them.
fn sections(help: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in help.lines() {
        let heading = line.strip_suffix(':').filter(|_| !line.starts_with(' '));
        if let Some(heading) = heading {
            found.push((heading.to_owned(), Vec::new()));
        } else if line.starts_with(' ') || line.is_empty() {
            if let Some((_, lines)) = found.last_mut() {
                lines.push(line.to_owned());
            }
        } else {
            // Prose at the margin ends a section.
            found.push((String::new(), Vec::new()));
        }
    }
    found
}

/// What an argument's help says beyond prose: `[default: …]`, `[env: …]`, `[possible values: …]`, `- value:`.
fn facts(prose: &[String]) -> String {
    let mut facts = String::new();
    let joined = prose.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    for part in joined.split('[').skip(1) {
        if let Some((inside, _)) = part.split_once(']')
            && ["default:", "env:", "possible values:", "aliases:"]
                .iter()
                .any(|word| inside.starts_with(word))
        {
            // A default that a person described may be described in other words; one that the program applies may not change.
            let is_described = inside
                .strip_prefix("default: ")
                .is_some_and(|value| value.contains(' ') && !value.starts_with('"'));
            facts.push_str(if is_described { " [default: in words]" } else { "" });
            if !is_described {
                facts.push_str(&format!(" [{inside}]"));
            }
        }
    }
    let values = prose.iter().filter_map(|line| line.trim().strip_prefix("- "));
    let values: Vec<&str> = values.map(|value| value.split(':').next().unwrap_or(value)).collect();
    if !values.is_empty() {
        facts.push_str(&format!(" {{{}}}", values.join(", ")));
    }
    facts
}

/// `  -o, --out <DIR>  prose` → the part before the prose. Two blanks part them.
fn arguments(lines: &[String]) -> Vec<String> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let is_new = (2..=6).contains(&indent)
            && (text.starts_with('-') || text.starts_with('<') || text.starts_with('['));
        if is_new && !text.starts_with("- ") {
            let (name, prose) = text.split_once("  ").unwrap_or((text, ""));
            found.push((name.to_owned(), vec![prose.to_owned()]));
        } else if let Some((_, prose)) = found.last_mut() {
            prose.push(line.clone());
        }
    }
    let mut found: Vec<String> =
        found.iter().map(|(name, prose)| format!("{name}{}", facts(prose))).collect();
    found.sort();
    found
}

/// Adds a command and all below it.
fn describe(path: &[String], text: &mut String) {
    let (program, verbs) = path.split_first().unwrap();
    let mut command = Command::new(bin_dir().join(program));
    command.args(verbs).arg("--help").env("COLUMNS", "100");
    for name in ["EXHIBIT_HOME", "EXHIBIT_TOKEN", "EXHIBIT_RECONNECT_MIN_MS", "EXHIBIT_RECONNECT_MAX_MS"] {
        command.env_remove(name);
    }
    let help = String::from_utf8(run(&mut command).unwrap().stdout).unwrap();
    text.push_str(&format!("{}\n", path.join(" ")));
    let usage = help.lines().find(|line| line.starts_with("Usage: ")).unwrap_or_else(|| panic!("{help}"));
    text.push_str(&format!("  {}\n", usage.replacen("Usage", "usage", 1)));
    let mut below = Vec::new();
    for (heading, lines) in sections(&help) {
        match heading.as_str() {
            "Arguments" | "Options" => {
                for argument in arguments(&lines) {
                    text.push_str(&format!("  {argument}\n"));
                }
            }
            "Commands" => {
                let named = lines
                    .iter()
                    .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
                below.extend(named.filter_map(|line| line.split_whitespace().next()).map(str::to_owned));
            }
            _ => {}
        }
    }
    below.sort();
    for verb in below.into_iter().filter(|verb| verb != "help") {
        describe(&[path, &[verb]].concat(), text);
    }
}

#[test]
fn commands_flags_values_and_defaults_are_what_they_were() {
    let mut text = String::new();
    for program in PROGRAMS {
        describe(&[program.to_owned()], &mut text);
    }
    assert!(text.lines().filter(|line| !line.starts_with(' ')).count() > 80, "{text}");
    super::compare("help.txt", &text);
}

#[test]
fn an_argument_is_told_from_its_prose() {
    let help = "Does it\n\nUsage: x [OPTIONS] <DIR>\n\nArguments:\n  <DIR>  Where\n\nOptions:\n      --log <LOG>\n          How\n\n          Possible values:\n          \
                - text: For people\n          - json\n          \n          [default: text]\n\n  -o, --out <DIR>  Folder [default: one\n                   or two]\n\nExamples:\n  x -o y\n";
    let of = |wanted: &str| sections(help).into_iter().find(|(heading, _)| heading == wanted).unwrap().1;
    assert_eq!(arguments(&of("Arguments")), ["<DIR>"]);
    assert_eq!(
        arguments(&of("Options")),
        ["--log <LOG> [default: text] {text, json}", "-o, --out <DIR> [default: in words]"]
    );
}
