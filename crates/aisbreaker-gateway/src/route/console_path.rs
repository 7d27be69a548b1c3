//! The paths of the console.

/// A path below which the console is served, or the one without its slash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConsolePath {
    /// The path of the page without its slash, below which relative URLs would miss the files.
    NoSlash,
    Page,
    Script,
    Style,
}

impl ConsolePath {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::NoSlash, Self::Page, Self::Script, Self::Style];

    /// Returns which path this is, with or without a second leading slash.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = match path.strip_prefix('/') {
            Some(rest) if rest.starts_with('/') => rest,
            Some(_) | None => path,
        };
        match path {
            "/console" => Some(Self::NoSlash),
            "/console/" => Some(Self::Page),
            "/console/console.js" => Some(Self::Script),
            "/console/console.css" => Some(Self::Style),
            _ => None,
        }
    }

    /// Returns the path.
    pub(super) fn template(self) -> &'static str {
        match self {
            Self::NoSlash => "/console",
            Self::Page => "/console/",
            Self::Script => "/console/console.js",
            Self::Style => "/console/console.css",
        }
    }
}
