//! A rate as settings spell it: `20 MiB/s`.

/// Reads `20 MiB/s`, `500 KiB/s`, `1 GiB/s`; `0` or `unlimited` means no limit.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is no rate such as \"20 MiB/s\", \"500 KiB/s\" or \"unlimited\"");
    if matches!(text, "0" | "unlimited") {
        return Ok(0);
    }
    let (number, unit) =
        text.strip_suffix("/s").and_then(|text| text.trim_end().split_once(' ')).ok_or_else(refused)?;
    let shift = match unit.trim() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(refused()),
    };
    let number: u64 = number.parse().or(Err(refused()))?;
    number.checked_mul(1 << shift).filter(|rate| *rate > 0).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_one_form() {
        assert_eq!(parse_rate("20 MiB/s"), Ok(20 << 20));
        assert_eq!(parse_rate("unlimited"), Ok(0));
        for bad in ["", "20", "20MiB", "-1 MiB/s", "0 MiB/s", "20 MB/s", "99999999999 GiB/s"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
