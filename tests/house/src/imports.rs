//! Which paths of its own crate a file names: in `use` trees and in place.

use crate::tokens::{Token, tokens};

/// Where a module stands below the root of its crate: `["log", "keys"]`. The root itself is empty.
pub type ModulePath = Vec<String>;

/// Text of a file without the test module at its end.
pub fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Every path below the crate's root that the file of `module` names. The last parts may be items, not modules.
pub fn imports(module: &[String], text: &str) -> Vec<ModulePath> {
    let mut found = Vec::new();
    let tokens = tokens(text);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let is_first =
            !matches!(at.checked_sub(1).and_then(|before| tokens.get(before)), Some(Token::Colons));
        match token {
            Token::Word(word) if word == "use" => {
                let end = at + tokens.iter().skip(at).take_while(|token| **token != Token::Mark(';')).count();
                let tree = tokens.get(at + 1..end).unwrap_or_default();
                for path in use_tree(tree) {
                    found.extend(from_root(module, &path.parts));
                }
                at = end;
            }
            Token::Word(word) if is_first && (word == "crate" || word == "super" || word == "self") => {
                let path = path_at(&tokens, at);
                if path.len() > 1 {
                    found.extend(from_root(module, &path));
                }
                at += 2 * path.len() - 1;
            }
            Token::Word(_) | Token::Colons | Token::Mark(_) => at += 1,
        }
    }
    found
}

/// What a `use` binds.
#[derive(Debug, PartialEq, Eq)]
pub struct Bound {
    /// The path as it is written, without alias; `*` is a part.
    pub parts: Vec<String>,
    /// The name in the file.
    pub name: String,
}

/// Everything that the `use` statements of a file bind.
pub fn bound(text: &str) -> Vec<Bound> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if *token == Token::Word("use".to_owned()) {
            let tree = tokens.get(at + 1..).unwrap_or_default();
            let end = tree.iter().take_while(|token| **token != Token::Mark(';')).count();
            found.extend(use_tree(tree.get(..end).unwrap_or_default()));
        }
    }
    found
}

/// The words of `a::b::c` that begin at `at`.
fn path_at(tokens: &[Token], at: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = tokens.get(at..).unwrap_or_default();
    while let [Token::Word(word), below @ ..] = rest {
        parts.push(word.clone());
        match below {
            [Token::Colons, below @ ..] => rest = below,
            _ => break,
        }
    }
    parts
}

/// `a::{b, c::{d as e, *}}` flattened.
fn use_tree(tokens: &[Token]) -> Vec<Bound> {
    let mut parts = Vec::new();
    let mut alias = None;
    let mut rest = tokens;
    loop {
        match rest {
            [Token::Word(word), Token::Word(name), ..] if word == "as" => {
                alias = Some(name.clone());
                break;
            }
            [Token::Word(word), below @ ..] => {
                parts.push(word.clone());
                rest = below;
            }
            [Token::Mark('*'), ..] => {
                parts.push("*".to_owned());
                break;
            }
            [Token::Mark('{'), inside @ ..] => return use_group(&parts, inside),
            [_, below @ ..] => rest = below,
            [] => break,
        }
    }
    // `self` at the end of a group names what the group hangs on.
    if parts.len() > 1 && parts.last().is_some_and(|last| last == "self") {
        parts.pop();
    }
    let name = alias.or_else(|| parts.last().cloned()).unwrap_or_default();
    if parts.is_empty() { Vec::new() } else { vec![Bound { parts, name }] }
}

fn use_group(base: &[String], inside: &[Token]) -> Vec<Bound> {
    let (mut found, mut depth, mut member) = (Vec::new(), 1_u32, Vec::new());
    for token in inside {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => depth -= 1,
            Token::Mark(_) | Token::Colons | Token::Word(_) => {}
        }
        if depth == 0 || (depth == 1 && *token == Token::Mark(',')) {
            let whole: Vec<Token> =
                base.iter().cloned().map(Token::Word).chain(std::mem::take(&mut member)).collect();
            if whole.len() > base.len() {
                found.extend(use_tree(&whole));
            }
        } else {
            member.push(token.clone());
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The path from the crate's root; nothing when it leads into another crate.
fn from_root(module: &[String], parts: &[String]) -> Option<ModulePath> {
    let (first, mut rest) = parts.split_first()?;
    let mut base: ModulePath = match first.as_str() {
        "crate" => ModulePath::new(),
        "self" => module.to_vec(),
        "super" => above(module)?,
        _ => return None,
    };
    while let Some((_, below)) = rest.split_first().filter(|(next, _)| *next == "super") {
        (base, rest) = (above(&base)?, below);
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

fn above(module: &[String]) -> Option<ModulePath> {
    module.split_last().map(|(_, above)| above.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module_path(text: &str) -> ModulePath {
        text.split("::").map(str::to_owned).collect()
    }

    fn found(module: &str, text: &str) -> Vec<String> {
        imports(&module_path(module), text).iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn use_trees_are_flattened() {
        assert_eq!(
            found("a::b", "use crate::{c::{d, e as f, g::*}, h};\nuse std::fs;\npub(crate) use self::i::J;"),
            ["c::d", "c::e", "c::g::*", "h", "a::b::i::J"]
        );
    }

    #[test]
    fn super_climbs_from_the_parent() {
        assert_eq!(
            found("a::b", "use super::c;\nuse super::super::d::E;\nuse super::*;"),
            ["a::c", "d::E", "a::*"]
        );
        assert_eq!(found("a", "use super::Name;"), ["Name"]);
    }

    #[test]
    fn paths_in_place_count() {
        assert_eq!(found("a", "fn f() { crate::b::g(super::c::H, std::fs::read) }"), ["b::g", "c::H"]);
    }

    #[test]
    fn paths_in_comments_and_strings_do_not() {
        assert!(found("a", "// crate::b\nconst TEXT: &str = \"use crate::c;\";").is_empty());
    }

    #[test]
    fn the_test_module_at_the_end_is_not_production() {
        assert_eq!(production("use a;\n\n#[cfg(test)]\nmod tests {\n    use b;\n}\n"), "use a;\n");
    }

    #[test]
    fn an_alias_is_what_a_use_binds() {
        let names: Vec<String> =
            bound("pub use a::{self, B as C};\nuse d::*;").into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["a", "C", "*"]);
    }
}
