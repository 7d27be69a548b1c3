//! The registered id that a caller may have meant.

/// The most letters in which an id may differ from the one that was meant.
const MAX_DISTANCE: usize = 3;
/// The longest id for which a nearest one is looked for; comparing long ones takes too long.
const MAX_ID_BYTES: usize = 64;

/// Returns the known id that is most like `id`, if any is.
///
/// Segments behind the vendor are those of an engine, and are not compared.
pub(super) fn nearest<'a>(id: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = id.trim().to_ascii_lowercase();
    let wanted = wanted.split('/').next().unwrap_or_default();
    let (task, vendor) = wanted.split_once(':').unwrap_or(("chat", wanted));
    if vendor.is_empty() || wanted.len() > MAX_ID_BYTES {
        return None;
    }
    let rank = |known_id: &str| {
        let (known_task, known_vendor) = known_id.split_once(':')?;
        let known_vendor = known_vendor.split('/').next().unwrap_or_default();
        let task_distance = usize::from(known_task != task);
        let vendor_distance = vendor_distance(vendor, known_vendor)?;
        Some((vendor_distance, task_distance, known_id.len()))
    };
    known
        .filter_map(|known_id| Some((rank(known_id)?, known_id)))
        .min()
        .map(|(_, known_id)| known_id)
}

/// Returns how much two vendors differ, unless they have nothing in common.
fn vendor_distance(vendor: &str, known: &str) -> Option<usize> {
    let is_part = |part: &str| known.split('.').any(|label| label == part);
    if vendor == known {
        return Some(0);
    }
    if is_part(vendor)
        || known
            .strip_prefix(vendor)
            .is_some_and(|rest| rest.starts_with('.'))
    {
        return Some(1);
    }
    let name = known.split('.').next().unwrap_or_default();
    let distance = edit_distance(vendor, known).min(edit_distance(vendor, name));
    let is_alike = distance <= MAX_DISTANCE && distance.saturating_mul(2) < vendor.len();
    is_alike.then(|| distance.saturating_add(1))
}

/// Returns the number of letters to insert, delete or replace (Levenshtein).
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, c) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, other_c) in row.iter_mut().skip(1).zip(&other) {
            let replaced = diagonal.saturating_add(usize::from(c != *other_c));
            let shifted = left.min(*cell).saturating_add(1);
            diagonal = *cell;
            left = replaced.min(shifted);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_id_that_was_meant() {
        let known = [
            "chat:openai.com",
            "text-to-image:openai.com",
            "chat:anthropic.com",
            "chat:groq.com",
            "chat:gemini.google.com",
            "chat:ollama",
            "chat:dummy",
            "aisbreaker:mirror",
        ];
        for (id, expected) in [
            ("chat:openai", Some("chat:openai.com")),
            ("chat:openai/gpt-4o", Some("chat:openai.com")),
            ("openai.com", Some("chat:openai.com")),
            ("Chat:OpenAI.com", Some("chat:openai.com")),
            ("image:openai.com", Some("chat:openai.com")),
            ("text-to-image:openai", Some("text-to-image:openai.com")),
            ("chat:antropic.com/claude", Some("chat:anthropic.com")),
            ("chat:google", Some("chat:gemini.google.com")),
            ("chat:olama", Some("chat:ollama")),
            ("chat:mirror", Some("aisbreaker:mirror")),
            ("chat:invalid", None),
            ("chat:", None),
            ("", None),
        ] {
            assert_eq!(nearest(id, known.into_iter()), expected, "{id}");
        }
    }
}
