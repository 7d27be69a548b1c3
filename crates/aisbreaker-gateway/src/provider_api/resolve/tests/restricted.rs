//! What is called with a key that is restricted to services.

use aisbreaker_api::ServicePattern;

use super::*;

/// Returns a key with these entries, restricted to these services.
fn restricted_key(entries: &[(&str, &str)], lists: &[&[&str]]) -> Credentials {
    let Credentials::Sealed {
        secrets, bearer, ..
    } = key(entries)
    else {
        unreachable!("a key")
    };
    let lists = lists.iter().map(|list| {
        let patterns = list.iter().map(|text| ServicePattern::parse(*text));
        patterns.collect::<Result<Vec<_>, _>>().unwrap()
    });
    Credentials::Sealed {
        secrets,
        bearer,
        url_source: UrlSource::Trusted,
        restrictions: ServiceRestrictions::new(lists.collect()),
    }
}

/// Entries of the key, its restrictions, and the model that is asked for; then what is called.
type Row<'a> = (
    &'a [(&'a str, &'a str)],
    &'a [&'a [&'a str]],
    Option<&'a str>,
    Result<&'a str, &'a str>,
);

const TWO: &[(&str, &str)] = &[("chat:openai.com", "o"), ("chat:groq.com", "g")];
const ALIASES: [(&str, &str); 3] = [
    ("fast", "chat:groq.com/llama"),
    ("x", "y"),
    ("gpt-4o", "chat:openai.com/gpt-5"),
];

#[test]
fn only_services_that_the_restrictions_allow_are_called() {
    let all: &[(&str, &str)] = &[("", "a")];
    let images: &[(&str, &str)] = &[("text-to-image:openai.com", "i"), ("chat:openai.com", "o")];
    let rows: [Row<'_>; 24] = [
        // Bare names go on to a service that is allowed.
        (TWO, &[&["chat:groq.com"]], Some("m"), Ok("chat:groq.com/m")),
        (
            TWO,
            &[&["chat:"], &["chat:groq.com/m"]],
            Some("m"),
            Ok("chat:groq.com/m"),
        ),
        (
            TWO,
            &[&["chat:groq.com/m"]],
            Some("n"),
            Err("chat:openai.com/n"),
        ),
        (
            TWO,
            &[&["chat:groq.com/m"]],
            Some("M"),
            Err("chat:openai.com/M"),
        ),
        (
            TWO,
            &[&["chat:groq.com/m"]],
            Some("m/../n"),
            Err("chat:openai.com/m/../n"),
        ),
        (TWO, &[&["chat:groq.com/m"]], None, Err("chat:openai.com")),
        (TWO, &[&["chat:groq.com"]], None, Ok("chat:groq.com")),
        (TWO, &[&[]], Some("m"), Err("chat:openai.com/m")),
        (
            TWO,
            &[&["chat:openai.com"], &["chat:groq.com"]],
            Some("m"),
            Err("chat:openai.com/m"),
        ),
        // Service ids, with every name of the provider.
        (
            TWO,
            &[&["chat:groq.com"]],
            Some("openai.com/m"),
            Err("chat:openai.com/m"),
        ),
        (
            TWO,
            &[&["chat:groq.com"]],
            Some("chat:openai.com"),
            Err("chat:openai.com/gpt-4.1-mini"),
        ),
        (
            TWO,
            &[&["chat:groq.com/m"]],
            Some("chat:groq.com/m"),
            Ok("chat:groq.com/m as m"),
        ),
        (
            TWO,
            &[&["chat:groq.com/m"]],
            Some("chat:groq/n"),
            Err("chat:groq.com/n"),
        ),
        (
            TWO,
            &[&["chat:groq.com/m"]],
            Some("chat:groq.com/m/"),
            Ok("chat:groq.com/m as m"),
        ),
        (
            TWO,
            &[&["chat:groq.com/m"]],
            Some("chat:groq.com//m"),
            Err("chat:groq.com//m"),
        ),
        (
            all,
            &[&["chat:groq.com"]],
            Some("chat:groq/m"),
            Ok("chat:groq.com/m as m"),
        ),
        (
            all,
            &[&["chat:groq"]],
            Some("groq.com/m"),
            Ok("chat:groq/m as m"),
        ),
        (
            &[("chat:groq", "g")],
            &[&["chat:groq.com"]],
            Some("groq.com/m"),
            Err("chat:groq/m"),
        ),
        // Aliases.
        (
            TWO,
            &[&["chat:openai.com"]],
            Some("fast"),
            Err("chat:groq.com/llama"),
        ),
        (
            TWO,
            &[&["chat:groq.com"]],
            Some("x"),
            Ok("chat:groq.com/y as y"),
        ),
        (
            TWO,
            &[&["chat:groq.com/x"]],
            Some("x"),
            Err("chat:openai.com/y"),
        ),
        (
            TWO,
            &[&["chat:openai.com/gpt-4o"]],
            Some("gpt-4o"),
            Err("chat:openai.com/gpt-5"),
        ),
        // A service for images is none for chats.
        (
            images,
            &[&["text-to-image:openai.com"]],
            Some("m"),
            Err("chat:openai.com/m"),
        ),
        (
            images,
            &[&["chat:openai.com"]],
            Some("m"),
            Ok("chat:openai.com/m"),
        ),
    ];
    for (entries, lists, model, expected) in rows {
        let found = resolve(
            &restricted_key(entries, lists),
            &ALIASES,
            DIALECTS[0],
            model,
        );
        let expected = match expected {
            Ok(service) => Ok(vec![service.to_owned()]),
            Err(refused) => Err(format!("restricted: {refused}")),
        };
        assert_eq!(found, expected, "{entries:?} {lists:?} {model:?}");
    }
}

#[test]
fn a_service_for_images_is_called_for_images_only() {
    let images: &[(&str, &str)] = &[("text-to-image:openai.com", "i")];
    let model = Some("text-to-image:openai.com/m");
    for credentials in [
        key(images),
        restricted_key(images, &[&["text-to-image:openai.com/m"]]),
    ] {
        let at = |operation| resolve(&credentials, &[], (Dialect::OpenAi, operation), model);
        let refused = at(Operation::ChatCompletions).unwrap_err();
        assert!(refused.contains("images only"), "{refused}");
        let expected = Ok(vec!["text-to-image:openai.com/m as m".to_owned()]);
        assert_eq!(at(Operation::ImageGenerations), expected);
    }
}

#[test]
fn fallbacks_that_the_restrictions_do_not_allow_are_left_out() {
    let entries = [
        ("chat:openai.com", "o"),
        ("chat:groq.com", "g"),
        ("chat:together", "t"),
        ("text-to-image:openai.com", "i"),
    ];
    let lists: &[&[&str]] = &[&[
        "chat:openai.com/m",
        "chat:together/m",
        "chat:groq.com/m",
        "text-to-image:openai.com",
    ]];
    let mut credentials = restricted_key(&entries, lists);
    let Credentials::Sealed { secrets, .. } = &mut credentials else {
        unreachable!("a key")
    };
    let ids = [
        "chat:groq.com/n",
        "text-to-image:openai.com",
        "chat:together",
    ];
    secrets[0].fallback = ids.map(|id| ServiceId::parse(id).unwrap()).to_vec();

    let found = resolve(&credentials, &[], DIALECTS[0], Some("openai.com/m"));

    let expected = ["chat:openai.com/m as m", "chat:together/m as m"];
    assert_eq!(found, Ok(expected.map(str::to_owned).to_vec()));
}
