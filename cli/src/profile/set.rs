//! `--set key=value`: changes one value of a profile for one order.

use std::str::FromStr;

use toml::Spanned;

use super::raw::{RawProfile, RawStep};
use crate::settings::SettingError;

/// `limits.item=4MiB` or `processes.environ=true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    group: String,
    name: String,
    value: String,
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or("not KEY=VALUE, such as limits.item=4MiB")?;
        let (group, name) = key.split_once('.').ok_or("the key is not GROUP.NAME, such as limits.item")?;
        Ok(Self { group: group.to_owned(), name: name.to_owned(), value: value.to_owned() })
    }
}

/// Puts the value in its place.
pub(super) fn apply(file: &mut RawProfile, setting: &Setting) -> Result<(), String> {
    let Setting { group, name, value } = setting;
    if group == "limits" {
        let limits = file.limits.get_mut();
        return match name.as_str() {
            "wall" => parse(value).map(|value| limits.wall = value),
            "stored" => parse(value).map(|value| limits.stored = value),
            "plain" => parse(value).map(|value| limits.plain = value),
            "item" => parse(value).map(|value| limits.item = value),
            "items" => number(value).map(|value| limits.items = value),
            "cpu_pct" => number(value).map(|value| limits.cpu_pct = value),
            _ => Err(format!("there is no limit called {name}")),
        };
    }
    let mut is_found = false;
    for step in file.step.iter_mut().map(Spanned::get_mut).filter(|step| step.collector.get_ref() == group) {
        apply_to_step(step, setting)?;
        is_found = true;
    }
    if is_found { Ok(()) } else { Err(format!("the profile has no step {group}")) }
}

fn apply_to_step(step: &mut RawStep, Setting { group, name, value }: &Setting) -> Result<(), String> {
    // Only values that the profile already has can change: a new value would make a profile that nobody wrote.
    let missing =
        || format!("{group} has no parameter {name} that --set can change; write a profile of your own");
    match name.as_str() {
        "hash_exe" => put(step.hash_exe.as_mut(), boolean(value), missing),
        "maps" => put(step.maps.as_mut(), boolean(value), missing),
        "environ" => put(step.environ.as_mut(), boolean(value), missing),
        "rows" => put(step.rows.as_mut(), boolean(value), missing),
        "one_filesystem" => put(step.one_filesystem.as_mut(), boolean(value), missing),
        "on_larger" => put(step.on_larger.as_mut(), Ok(value.clone()), missing),
        "item" => put(step.item.as_mut(), parse(value), missing),
        _ => Err(missing()),
    }
}

fn put<T>(
    place: Option<&mut Spanned<T>>,
    value: Result<T, String>,
    missing: impl FnOnce() -> String,
) -> Result<(), String> {
    *place.ok_or_else(missing)?.get_mut() = value?;
    Ok(())
}

fn parse<T: FromStr<Err = SettingError>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|cause: SettingError| cause.to_string())
}

fn number(value: &str) -> Result<u64, String> {
    value.parse().map_err(|cause| format!("{value:?} is not a whole number: {cause}"))
}

fn boolean(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_neither| format!("{value:?} is neither true nor false"))
}
