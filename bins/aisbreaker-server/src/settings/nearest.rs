//! The name that was meant by a misspelt one.

use super::table::SETTINGS;

/// The longest name for which a nearest one is looked for.
const MAX_NAME_BYTES: usize = 64;

/// Returns "; did you mean …?" for a variable that is not a setting, or nothing.
pub(crate) fn suggest_variable(name: &str) -> String {
    suggestion(nearest_variable(name).as_deref())
}

fn nearest_variable(name: &str) -> Option<String> {
    let mut known = Vec::new();
    for setting in SETTINGS {
        known.push(setting.variable.to_owned());
        if setting.is_secret {
            known.push(setting.file_variable());
        }
    }
    nearest(name, &known)
}

/// Returns the key that was probably meant by one of the configuration file that is not a setting.
pub(super) fn nearest_key(name: &str) -> Option<String> {
    let tables = ["services", "provider", "usage", "prices"];
    let mut known: Vec<String> = tables.map(str::to_owned).into();
    for setting in SETTINGS {
        if let Some(key) = setting.key {
            known.push(key.to_owned());
            if setting.is_secret {
                known.push(format!("{key}_file"));
            }
        }
    }
    // A key below the header of a table belongs to that table.
    let misplaced = known.iter().find(|key| {
        name.strip_suffix(key.as_str())
            .is_some_and(|table| table.ends_with('.'))
    });
    match misplaced {
        Some(key) => Some(format!("{key}, above the first [table]")),
        None => nearest(name, &known),
    }
}

/// Returns "; did you mean …?" for a name, or nothing.
pub(super) fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => String::new(),
    }
}

/// Returns the known name that differs from this one in the fewest letters, if they are few.
pub(super) fn nearest(name: &str, known: &[String]) -> Option<String> {
    let wanted = canonical(name);
    if wanted.len() > MAX_NAME_BYTES {
        return None;
    }
    let most = wanted.len().div_ceil(4).min(4);
    let mut best: Option<(usize, &String)> = None;
    for candidate in known {
        let other = canonical(candidate);
        let is_part =
            wanted.starts_with(&format!("{other}_")) || other.starts_with(&format!("{wanted}_"));
        let distance = match strsim::osa_distance(&wanted, &other) {
            distance if distance <= most => distance,
            _ if is_part => most + 1,
            _ => continue,
        };
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate.clone())
}

/// Returns what the names of a setting in the environment and in the file have in common.
fn canonical(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    match name.strip_prefix("aisbreaker_") {
        Some(rest) => rest.to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name_that_was_meant() {
        for (name, expected) in [
            ("AISBREAKER_PUBLIC_HOST", Some("AISBREAKER_PUBLIC_HOSTS")),
            ("AISBREAKER_LISTN", Some("AISBREAKER_LISTEN")),
            (
                "AISBREAKER_MINT_SECRET_FIEL",
                Some("AISBREAKER_MINT_SECRET_FILE"),
            ),
            ("AISBREAKER_PORT", Some("PORT")),
            ("AISBREAKER_LOG_LEVEL", Some("AISBREAKER_LOG")),
            ("AISBREAKER_REDIS", Some("AISBREAKER_REDIS_URL")),
            ("AISBREAKER_NO_SETTING", None),
            ("AISBREAKER_", None),
        ] {
            assert_eq!(nearest_variable(name).as_deref(), expected, "{name}");
        }
        for (name, expected) in [
            ("public_host", Some("public_hosts")),
            ("mint_secret", Some("mint.secret")),
            ("trusted-proxies", Some("trusted_proxies")),
            ("providers", Some("provider")),
            ("log.listen", Some("listen, above the first [table]")),
            ("mystery", None),
        ] {
            assert_eq!(nearest_key(name).as_deref(), expected, "{name}");
        }
    }
}
