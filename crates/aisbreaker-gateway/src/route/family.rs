//! The families of resources that are passed through to the one provider that has them.
//!
//! Files, batches, fine-tunes and what else a provider keeps for its clients: neither a body nor a
//! response is read, and no model is known. What such a request could get round (a key for one
//! model, or one with budgets) is decided by [`restrictions`](crate::restrictions).
//!
//! Source: the API references of OpenAI and Anthropic, and what their SDKs call.

use aisbreaker_services::Dialect;
use aisbreaker_token::PREFIX;

/// A family of resources: one row of the table.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Family {
    /// The path that stands for all of them in metrics. What follows `/v1/` is the name in
    /// restrictions and logs.
    pub(crate) template: &'static str,
    /// The API that has the family; `None`: both.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) cost: Cost,
    /// A path without an id comes before one that has an id in its place.
    paths: &'static [Path],
}

/// Whether a provider charges for what a family does, which no budget can count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cost {
    /// It stores and lists.
    Nothing,
    /// It runs models, now or later, rents machines, or stores for a price.
    Uncounted,
}

/// A path of a family.
#[derive(Debug, Eq, PartialEq)]
struct Path {
    /// The path, with names in braces in place of ids.
    template: &'static str,
    /// The methods, as in `Allow`.
    methods: &'static str,
}

/// A path of a family that was found. It is part of the future of every request, so it is small.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Resource {
    pub(crate) family: &'static Family,
    path: &'static Path,
}

/// What the names of operations leave out of their templates.
const NAME_BASE: &str = "/v1/";
const READ: &str = "GET, HEAD, OPTIONS";
const CREATE: &str = "POST, OPTIONS";
const DELETE: &str = "DELETE, OPTIONS";
/// A list to which things are added.
const LIST: &str = "GET, HEAD, POST, OPTIONS";
/// A thing that stays as it is.
const FIXED: &str = "GET, HEAD, DELETE, OPTIONS";
/// A thing that can be changed.
const CHANGEABLE: &str = "GET, HEAD, POST, DELETE, OPTIONS";

/// The longest id in bytes.
const MAX_ID_LEN: usize = 256;

const OPENAI: Option<Dialect> = Some(Dialect::OpenAi);
const ANTHROPIC: Option<Dialect> = Some(Dialect::Anthropic);
const BOTH: Option<Dialect> = None;

/// The table.
static FAMILIES: [Family; COUNT] = [
    Family {
        template: "/v1/files",
        dialect: BOTH,
        cost: Cost::Nothing,
        paths: &[
            Path::new("/v1/files", LIST),
            Path::new("/v1/files/{file_id}", FIXED),
            Path::new("/v1/files/{file_id}/content", READ),
        ],
    },
    Family {
        template: "/v1/uploads",
        dialect: OPENAI,
        cost: Cost::Nothing,
        paths: &[
            Path::new("/v1/uploads", CREATE),
            Path::new("/v1/uploads/{upload_id}/parts", CREATE),
            Path::new("/v1/uploads/{upload_id}/complete", CREATE),
            Path::new("/v1/uploads/{upload_id}/cancel", CREATE),
        ],
    },
    Family {
        template: "/v1/batches",
        dialect: OPENAI,
        cost: Cost::Uncounted,
        paths: &[
            Path::new("/v1/batches", LIST),
            Path::new("/v1/batches/{batch_id}", READ),
            Path::new("/v1/batches/{batch_id}/cancel", CREATE),
        ],
    },
    Family {
        template: MESSAGE_BATCHES,
        dialect: ANTHROPIC,
        cost: Cost::Uncounted,
        paths: &[
            Path::new(MESSAGE_BATCHES, LIST),
            Path::new("/v1/messages/batches/{batch_id}", FIXED),
            Path::new("/v1/messages/batches/{batch_id}/cancel", CREATE),
            Path::new("/v1/messages/batches/{batch_id}/results", READ),
        ],
    },
    // At OpenAI they store. Mistral has the same paths, and runs models there.
    Family {
        template: "/v1/conversations",
        dialect: OPENAI,
        cost: Cost::Uncounted,
        paths: &[
            Path::new("/v1/conversations", CREATE),
            Path::new("/v1/conversations/{conversation_id}", CHANGEABLE),
            Path::new("/v1/conversations/{conversation_id}/items", LIST),
            Path::new("/v1/conversations/{conversation_id}/items/{item_id}", FIXED),
        ],
    },
    // Completions that a provider stored: those that are made are an operation of their own.
    Family {
        template: "/v1/chat/completions/{id}",
        dialect: OPENAI,
        cost: Cost::Nothing,
        paths: &[
            Path::new(STORED_COMPLETIONS, LIST),
            Path::new("/v1/chat/completions/{completion_id}", CHANGEABLE),
            Path::new("/v1/chat/completions/{completion_id}/messages", READ),
        ],
    },
    Family {
        template: "/v1/vector_stores",
        dialect: OPENAI,
        cost: Cost::Uncounted,
        paths: &[
            Path::new("/v1/vector_stores", LIST),
            Path::new("/v1/vector_stores/{vector_store_id}", CHANGEABLE),
            Path::new("/v1/vector_stores/{vector_store_id}/search", CREATE),
            Path::new("/v1/vector_stores/{vector_store_id}/files", LIST),
            Path::new(
                "/v1/vector_stores/{vector_store_id}/files/{file_id}",
                CHANGEABLE,
            ),
            Path::new(
                "/v1/vector_stores/{vector_store_id}/files/{file_id}/content",
                READ,
            ),
            Path::new("/v1/vector_stores/{vector_store_id}/file_batches", CREATE),
            Path::new(
                "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}",
                READ,
            ),
            Path::new(
                "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
                CREATE,
            ),
            Path::new(
                "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files",
                READ,
            ),
        ],
    },
    Family {
        template: "/v1/containers",
        dialect: OPENAI,
        cost: Cost::Uncounted,
        paths: &[
            Path::new("/v1/containers", LIST),
            Path::new("/v1/containers/{container_id}", FIXED),
            Path::new("/v1/containers/{container_id}/files", LIST),
            Path::new("/v1/containers/{container_id}/files/{file_id}", FIXED),
            Path::new(
                "/v1/containers/{container_id}/files/{file_id}/content",
                READ,
            ),
        ],
    },
    Family {
        template: "/v1/skills",
        dialect: BOTH,
        cost: Cost::Nothing,
        paths: &[
            Path::new("/v1/skills", LIST),
            Path::new("/v1/skills/{skill_id}", CHANGEABLE),
            Path::new("/v1/skills/{skill_id}/content", READ),
            Path::new("/v1/skills/{skill_id}/versions", LIST),
            Path::new("/v1/skills/{skill_id}/versions/{version}", FIXED),
            Path::new("/v1/skills/{skill_id}/versions/{version}/content", READ),
        ],
    },
    Family {
        template: FINE_TUNING,
        dialect: OPENAI,
        cost: Cost::Uncounted,
        paths: &[
            Path::new("/v1/fine_tuning/jobs", LIST),
            Path::new("/v1/fine_tuning/jobs/{job_id}", READ),
            Path::new("/v1/fine_tuning/jobs/{job_id}/cancel", CREATE),
            Path::new("/v1/fine_tuning/jobs/{job_id}/pause", CREATE),
            Path::new("/v1/fine_tuning/jobs/{job_id}/resume", CREATE),
            Path::new("/v1/fine_tuning/jobs/{job_id}/events", READ),
            Path::new("/v1/fine_tuning/jobs/{job_id}/checkpoints", READ),
            Path::new("/v1/fine_tuning/checkpoints/{checkpoint}/permissions", LIST),
            Path::new(
                "/v1/fine_tuning/checkpoints/{checkpoint}/permissions/{permission_id}",
                DELETE,
            ),
            Path::new("/v1/fine_tuning/alpha/graders/run", CREATE),
            Path::new("/v1/fine_tuning/alpha/graders/validate", CREATE),
        ],
    },
    Family {
        template: "/v1/evals",
        dialect: OPENAI,
        cost: Cost::Uncounted,
        paths: &[
            Path::new("/v1/evals", LIST),
            Path::new("/v1/evals/{eval_id}", CHANGEABLE),
            Path::new("/v1/evals/{eval_id}/runs", LIST),
            // OpenAI's reference cancels a run by `POST` to the run itself.
            Path::new("/v1/evals/{eval_id}/runs/{run_id}", CHANGEABLE),
            Path::new("/v1/evals/{eval_id}/runs/{run_id}/cancel", CREATE),
            Path::new("/v1/evals/{eval_id}/runs/{run_id}/output_items", READ),
            Path::new(
                "/v1/evals/{eval_id}/runs/{run_id}/output_items/{item_id}",
                READ,
            ),
        ],
    },
    Family {
        template: "/v1/videos",
        dialect: OPENAI,
        cost: Cost::Uncounted,
        paths: &[
            Path::new("/v1/videos", LIST),
            Path::new("/v1/videos/edits", CREATE),
            Path::new("/v1/videos/extensions", CREATE),
            Path::new("/v1/videos/characters", CREATE),
            Path::new("/v1/videos/characters/{character_id}", READ),
            Path::new("/v1/videos/{video_id}", FIXED),
            Path::new("/v1/videos/{video_id}/content", READ),
            Path::new("/v1/videos/{video_id}/remix", CREATE),
        ],
    },
];
/// The number of families.
pub(crate) const COUNT: usize = 12;
/// The path of the list of stored completions, where completions are made as well.
const STORED_COMPLETIONS: &str = "/v1/chat/completions";
/// The path of Anthropic's batches.
const MESSAGE_BATCHES: &str = "/v1/messages/batches";
const FINE_TUNING: &str = "/v1/fine_tuning";

impl Family {
    /// Returns the name in restrictions of keys, logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        name_of(self.template)
    }
}

impl Resource {
    /// Returns the path, with names in braces in place of ids.
    pub(crate) const fn template(self) -> &'static str {
        self.path.template
    }

    /// Returns the methods, as in `Allow`.
    pub(crate) const fn methods(self) -> &'static str {
        self.path.methods
    }

    /// Returns the place of the family in the table.
    pub(crate) fn index(self) -> usize {
        let is_own = |family: &Family| std::ptr::eq(family, self.family);
        // Not expected: every family is in the table.
        all().position(is_own).unwrap_or_default()
    }

    /// Returns whether a response describes batches of messages.
    pub(crate) fn describes_message_batches(&self) -> bool {
        let has_results = self.template().ends_with("/results");
        self.family.template == MESSAGE_BATCHES && !has_results
    }
}

impl Path {
    const fn new(template: &'static str, methods: &'static str) -> Self {
        Self { template, methods }
    }
}

/// Returns the families in the order of the table.
pub(crate) fn all() -> std::slice::Iter<'static, Family> {
    FAMILIES.iter()
}

/// Returns every path of every family, in the order of the table.
pub(crate) fn resources() -> impl Iterator<Item = Resource> {
    all().flat_map(|family| {
        let paths = family.paths.iter();
        paths.map(move |path| Resource { family, path })
    })
}

/// Returns what a path without a trailing slash is of.
pub(crate) fn find(path: &str) -> Option<Resource> {
    resources().find(|resource| matches(resource.template(), path))
}

/// Returns the list of stored completions.
pub(crate) fn stored_completions() -> Option<Resource> {
    find(STORED_COMPLETIONS)
}

/// Returns the family of fine-tuned models.
pub(crate) fn fine_tuning() -> Option<&'static Family> {
    all().find(|family| family.template == FINE_TUNING)
}

/// Returns the name of an operation with this template.
pub(super) fn name_of(template: &'static str) -> &'static str {
    template.strip_prefix(NAME_BASE).unwrap_or(template)
}

fn matches(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let has_all = template.split('/').all(|expected| match segments.next() {
        Some(segment) if expected.starts_with('{') => is_id(segment),
        Some(segment) => segment == expected,
        None => false,
    });
    has_all && segments.next().is_none()
}

/// Returns whether a segment of a path can be an id.
///
/// Anything that the provider could take for another path is not one. Fine-tuned models have colons
/// and dots (`ft:gpt-3.5-turbo:org::id`).
pub(crate) fn is_id(segment: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    segment.len() <= MAX_ID_LEN
        && segment.bytes().all(is_allowed)
        && segment.bytes().any(|byte| byte.is_ascii_alphanumeric())
        // A key would go to the provider.
        && !segment.starts_with(PREFIX)
}

#[cfg(test)]
mod tests;
