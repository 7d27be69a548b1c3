//! Media types of images.

/// The first characters of an image in base64, and the media type that they mean.
const SIGNATURES: [(&str, &str); 3] = [
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
];
const EXTENSIONS: [(&str, &str); 5] = [
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".gif", "image/gif"),
    (".webp", "image/webp"),
];

/// Returns the media type of an image in base64 by its first bytes; PNG if they are unknown.
pub(super) fn of_base64(base64: &str) -> &'static str {
    SIGNATURES
        .into_iter()
        .find(|(signature, _)| base64.starts_with(signature))
        .map_or("image/png", |(_, media_type)| media_type)
}

/// Returns the media type of an image at a URL by the extension of its path.
pub(super) fn of_url(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?.to_ascii_lowercase();
    EXTENSIONS
        .into_iter()
        .find(|(extension, _)| path.ends_with(extension))
        .map(|(_, media_type)| media_type)
}
