//! The families of resources, as requests that the SDKs of OpenAI and Anthropic send.

use super::Request;

/// A request for a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceRequest {
    /// The name of its family, as `operations` has it.
    pub(crate) family: &'static str,
    /// Whether a client of Anthropic sends it.
    pub(crate) is_anthropic: bool,
    pub(crate) method: &'static str,
    /// What follows `/v1/`.
    pub(crate) path: &'static str,
}

impl ResourceRequest {
    /// Returns every request of both SDKs.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let openai = OPENAI.into_iter().map(|row| (row, false));
        for ((family, requests), is_anthropic) in openai.chain(ANTHROPIC.map(|row| (row, true))) {
            for request in requests.split(", ") {
                let (method, path) = request.split_once(' ').expect("a method and a path");
                all.push(Self {
                    family,
                    is_anthropic,
                    method,
                    path,
                });
            }
        }
        all
    }

    /// Returns the request with this key, and with this content if it has any.
    pub(crate) fn request(self, key: &str, content: &[u8]) -> Request {
        let mut request = Request::new(self.method, &format!("/v1/{}", self.path)).bearer(key);
        if self.is_anthropic {
            request = request.header("anthropic-version", "2023-06-01");
        }
        if self.method == "POST" {
            request = request.body(content);
        }
        request
    }
}

/// Every request that the SDKs of OpenAI send, by the family that `operations` names.
const OPENAI: [(&str, &str); 11] = [
    (
        "files",
        "GET files, POST files, GET files/file-1, DELETE files/file-1, GET files/file-1/content",
    ),
    (
        "uploads",
        "POST uploads, POST uploads/upload_1/parts, POST uploads/upload_1/complete, \
         POST uploads/upload_1/cancel",
    ),
    (
        "batches",
        "GET batches, POST batches, GET batches/batch_1, POST batches/batch_1/cancel",
    ),
    (
        "conversations",
        "POST conversations, GET conversations/conv_1, POST conversations/conv_1, \
         DELETE conversations/conv_1, GET conversations/conv_1/items, POST conversations/conv_1/items, \
         GET conversations/conv_1/items/msg_1, DELETE conversations/conv_1/items/msg_1",
    ),
    (
        "chat/completions/{id}",
        "GET chat/completions, GET chat/completions/chatcmpl-1, POST chat/completions/chatcmpl-1, \
         DELETE chat/completions/chatcmpl-1, GET chat/completions/chatcmpl-1/messages",
    ),
    (
        "vector_stores",
        "GET vector_stores, POST vector_stores, GET vector_stores/vs_1, POST vector_stores/vs_1, \
         DELETE vector_stores/vs_1, POST vector_stores/vs_1/search, GET vector_stores/vs_1/files, \
         POST vector_stores/vs_1/files, GET vector_stores/vs_1/files/file-1, \
         POST vector_stores/vs_1/files/file-1, DELETE vector_stores/vs_1/files/file-1, \
         GET vector_stores/vs_1/files/file-1/content, POST vector_stores/vs_1/file_batches, \
         GET vector_stores/vs_1/file_batches/vsfb_1, POST vector_stores/vs_1/file_batches/vsfb_1/cancel, \
         GET vector_stores/vs_1/file_batches/vsfb_1/files",
    ),
    (
        "containers",
        "GET containers, POST containers, GET containers/cntr_1, DELETE containers/cntr_1, \
         GET containers/cntr_1/files, POST containers/cntr_1/files, GET containers/cntr_1/files/cfile_1, \
         DELETE containers/cntr_1/files/cfile_1, GET containers/cntr_1/files/cfile_1/content",
    ),
    (
        "skills",
        "GET skills, POST skills, GET skills/skill_1, POST skills/skill_1, DELETE skills/skill_1, \
         GET skills/skill_1/content, GET skills/skill_1/versions, POST skills/skill_1/versions, \
         GET skills/skill_1/versions/latest, DELETE skills/skill_1/versions/2, \
         GET skills/skill_1/versions/2/content",
    ),
    (
        "fine_tuning",
        "GET fine_tuning/jobs, POST fine_tuning/jobs, GET fine_tuning/jobs/ftjob-1, \
         POST fine_tuning/jobs/ftjob-1/cancel, POST fine_tuning/jobs/ftjob-1/pause, \
         POST fine_tuning/jobs/ftjob-1/resume, GET fine_tuning/jobs/ftjob-1/events, \
         GET fine_tuning/jobs/ftjob-1/checkpoints, \
         GET fine_tuning/checkpoints/ft:gpt-3.5-turbo:org::id:ckpt-step-100/permissions, \
         POST fine_tuning/checkpoints/ft:gpt-3.5-turbo:org::id:ckpt-step-100/permissions, \
         DELETE fine_tuning/checkpoints/ft:gpt-3.5-turbo:org::id:ckpt-step-100/permissions/cp_1, \
         POST fine_tuning/alpha/graders/run, POST fine_tuning/alpha/graders/validate, \
         DELETE models/gpt-4o",
    ),
    (
        "evals",
        "GET evals, POST evals, GET evals/eval_1, POST evals/eval_1, DELETE evals/eval_1, \
         GET evals/eval_1/runs, POST evals/eval_1/runs, GET evals/eval_1/runs/evalrun_1, \
         POST evals/eval_1/runs/evalrun_1, DELETE evals/eval_1/runs/evalrun_1, \
         POST evals/eval_1/runs/evalrun_1/cancel, GET evals/eval_1/runs/evalrun_1/output_items, \
         GET evals/eval_1/runs/evalrun_1/output_items/item_1",
    ),
    (
        "videos",
        "GET videos, POST videos, GET videos/video_1, DELETE videos/video_1, GET videos/video_1/content, \
         POST videos/video_1/remix, POST videos/edits, POST videos/extensions, POST videos/characters, \
         GET videos/characters/char_1",
    ),
];

/// As `OPENAI`, of Anthropic.
const ANTHROPIC: [(&str, &str); 3] = [
    (
        "messages/batches",
        "GET messages/batches, POST messages/batches, GET messages/batches/msgbatch_1, \
         DELETE messages/batches/msgbatch_1, POST messages/batches/msgbatch_1/cancel, \
         GET messages/batches/msgbatch_1/results",
    ),
    (
        "files",
        "GET files, POST files, GET files/file_1, DELETE files/file_1, GET files/file_1/content",
    ),
    (
        "skills",
        "GET skills, POST skills, GET skills/pptx, DELETE skills/skill_1, GET skills/skill_1/versions, \
         POST skills/skill_1/versions, GET skills/skill_1/versions/1759178010641129, \
         DELETE skills/skill_1/versions/1759178010641129, \
         GET skills/skill_1/versions/1759178010641129/content",
    ),
];
