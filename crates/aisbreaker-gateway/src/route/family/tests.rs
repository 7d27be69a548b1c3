use super::*;

#[test]
fn every_path_is_found_by_itself() {
    for resource in resources() {
        let segments = resource.template().split('/');
        let path = segments.map(|segment| match segment.starts_with('{') {
            true => "a-1",
            false => segment,
        });
        let path = path.collect::<Vec<_>>().join("/");
        assert_eq!(find(&path), Some(resource), "{path}");
        assert_eq!(find(&format!("{path}/")), None, "{path}");
        assert_eq!(find(&format!("{path}/..")), None, "{path}");
    }
    assert_eq!(all().count(), COUNT);
}

#[test]
fn every_family_has_a_name_of_its_own_and_paths_below_it() {
    let mut templates: Vec<_> = all().map(|family| family.template).collect();
    templates.sort_unstable();
    templates.dedup();
    assert_eq!(templates.len(), COUNT);
    for resource in resources() {
        // The list of stored completions is above the one that its family is called after.
        let base = resource.family.template;
        let base = base.split("/{").next().unwrap_or_default();
        assert!(resource.template().starts_with(base), "{resource:?}");
        assert!(resource.methods().ends_with("OPTIONS"), "{resource:?}");
        assert_eq!(
            resource.methods().contains("GET"),
            resource.methods().contains("HEAD"),
            "{resource:?}"
        );
    }
    assert!(stored_completions().is_some() && fine_tuning().is_some());
}

#[test]
fn an_id_is_nothing_that_could_be_another_path() {
    let long = "a".repeat(MAX_ID_LEN);
    let too_long = "a".repeat(MAX_ID_LEN + 1);
    let rows = [
        ("file-abc_1", true),
        (
            "ft:gpt-3.5-turbo-0125:org:name:B7R9VjQd:ckpt-step-1000",
            true,
        ),
        ("ft:gpt-4o-mini-2024-07-18:org::B7R9VjQd", true),
        ("1759178010641129", true),
        ("latest", true),
        ("pptx", true),
        ("00000000-0000-0000-0000-000000000000", true),
        ("bGl0ZWxsbV9wcm94eQ", true),
        (&*long, true),
        (&*too_long, false),
        ("", false),
        (".", false),
        ("..", false),
        ("...", false),
        ("-", false),
        (":", false),
        ("%2e%2e", false),
        ("a%2Fb", false),
        ("a%00", false),
        ("..;", false),
        ("a;b", false),
        ("a\\b", false),
        ("a b", false),
        ("a?b", false),
        ("a#b", false),
        ("{file_id}", false),
        ("caf\u{e9}", false),
        ("aisbreaker_v2_abc", false),
    ];
    for (segment, expected) in rows {
        assert_eq!(is_id(segment), expected, "{segment}");
        let path = format!("/v1/files/{segment}/content");
        assert_eq!(find(&path).is_some(), expected, "{path}");
    }
}
