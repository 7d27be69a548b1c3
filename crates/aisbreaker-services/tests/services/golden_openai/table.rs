//! The URLs of the providers of the table, and the headers of their secrets.

const BEARER: (&str, &str) = ("authorization", "Bearer ");

/// A provider, the URL of its chat if the key names none, and the header of its secret with the
/// scheme.
pub(super) type Line = (&'static str, &'static str, (&'static str, &'static str));

pub(super) const LINES: &[Line] = &[
    (
        "openai.com",
        "https://api.openai.com/v1/chat/completions",
        BEARER,
    ),
    (
        "gemini.google.com",
        "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        BEARER,
    ),
    (
        "mistral.ai",
        "https://api.mistral.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "groq.com",
        "https://api.groq.com/openai/v1/chat/completions",
        BEARER,
    ),
    (
        "deepseek.com",
        "https://api.deepseek.com/chat/completions",
        BEARER,
    ),
    ("x.ai", "https://api.x.ai/v1/chat/completions", BEARER),
    (
        "together.ai",
        "https://api.together.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "fireworks.ai",
        "https://api.fireworks.ai/inference/v1/chat/completions",
        BEARER,
    ),
    (
        "perplexity.ai",
        "https://api.perplexity.ai/chat/completions",
        BEARER,
    ),
    (
        "openrouter.ai",
        "https://openrouter.ai/api/v1/chat/completions",
        BEARER,
    ),
    (
        "cohere.com",
        "https://api.cohere.ai/compatibility/v1/chat/completions",
        BEARER,
    ),
    (
        "huggingface.co",
        "https://router.huggingface.co/v1/chat/completions",
        BEARER,
    ),
    ("azure.com", "/openai/v1/chat/completions", ("api-key", "")),
    (
        "cerebras.ai",
        "https://api.cerebras.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "deepinfra.com",
        "https://api.deepinfra.com/v1/openai/chat/completions",
        BEARER,
    ),
    (
        "moonshot.ai",
        "https://api.moonshot.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "nvidia.com",
        "https://integrate.api.nvidia.com/v1/chat/completions",
        BEARER,
    ),
    (
        "sambanova.ai",
        "https://api.sambanova.ai/v1/chat/completions",
        BEARER,
    ),
    (
        "z.ai",
        "https://api.z.ai/api/paas/v4/chat/completions",
        BEARER,
    ),
    (
        "alibabacloud.com",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
        BEARER,
    ),
    (
        "ollama",
        "http://localhost:11434/v1/chat/completions",
        BEARER,
    ),
    ("vllm", "http://localhost:8000/v1/chat/completions", BEARER),
    (
        "lmstudio",
        "http://localhost:1234/v1/chat/completions",
        BEARER,
    ),
    (
        "llama.cpp",
        "http://localhost:8080/v1/chat/completions",
        BEARER,
    ),
];

/// Providers and their URLs in Anthropic's dialect.
pub(super) const MESSAGES: &[(&str, &str)] = &[
    ("anthropic.com", "https://api.anthropic.com/v1/messages"),
    (
        "deepseek.com",
        "https://api.deepseek.com/anthropic/v1/messages",
    ),
    (
        "fireworks.ai",
        "https://api.fireworks.ai/inference/v1/messages",
    ),
    ("openrouter.ai", "https://openrouter.ai/api/v1/messages"),
    ("azure.com", "/anthropic/v1/messages"),
    (
        "moonshot.ai",
        "https://api.moonshot.ai/anthropic/v1/messages",
    ),
    ("z.ai", "https://api.z.ai/api/anthropic/v1/messages"),
    (
        "alibabacloud.com",
        "https://dashscope-intl.aliyuncs.com/apps/anthropic/v1/messages",
    ),
    ("ollama", "http://localhost:11434/v1/messages"),
    ("vllm", "http://localhost:8000/v1/messages"),
    ("lmstudio", "http://localhost:1234/v1/messages"),
    ("llama.cpp", "http://localhost:8080/v1/messages"),
];
