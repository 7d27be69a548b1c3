//! The blocks of a message that is streamed.
//!
//! The client's blocks follow one another, each with a start, deltas and a stop. The provider's pieces can come in any
//! order: providers that run tool calls in parallel send pieces of several calls in turn. The first block that is not
//! complete is passed on at once; what belongs to later ones is held until then.

use std::{collections::VecDeque, mem};

use serde_json::value::RawValue;

use super::super::{
    completion::{ARGUMENTS_ARE_NO_OBJECT, FinishReason, Origin, ToolCall, read_arguments},
    message::{Block, Delta, Event},
    reasoning,
    response::call_id,
};
use crate::UnreadableAnswer;

/// The most bytes of arguments and of held pieces.
const MAX_HELD_BYTES: usize = 8 << 20;
/// The most tool calls of an answer.
const MAX_CALLS: usize = 1024;

pub(super) struct Blocks {
    message_id: String,
    /// The provider's name of the model.
    model: String,
    /// Reasoning that the provider wants back, and the client does not see.
    hidden: String,
    /// The blocks that are not stopped, in the client's order.
    open: VecDeque<OpenBlock>,
    /// The index of the first of them.
    index: u64,
    /// Every tool call so far, in the order of their beginnings.
    calls: Vec<Call>,
    held_bytes: usize,
}

struct OpenBlock {
    kind: Kind,
    is_started: bool,
    /// What is not passed on yet.
    pending: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Thinking(Origin),
    /// Reasoning that is in the signature only.
    Hidden,
    Text,
    /// The tool call at this place of [`Blocks::calls`].
    Call(usize),
}

struct Call {
    /// The provider's index.
    index: Option<u64>,
    id: Option<String>,
    name: String,
    arguments: String,
    end: ObjectEnd,
    is_stopped: bool,
}

impl Blocks {
    pub(super) fn new(model: String) -> Self {
        Self {
            message_id: String::new(),
            model,
            hidden: String::new(),
            open: VecDeque::new(),
            index: 0,
            calls: Vec::new(),
            held_bytes: 0,
        }
    }

    pub(super) fn set_message_id(&mut self, id: String) {
        self.message_id = id;
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(super) fn push_thinking(
        &mut self,
        text: &str,
        origin: Origin,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        self.push(Kind::Thinking(origin), text, out)
    }

    /// Keeps thinking that is not shown until the first tool call, if the provider wants it back.
    pub(super) fn hide_thinking(
        &mut self,
        text: &str,
        origin: Origin,
    ) -> Result<(), UnreadableAnswer> {
        if origin == Origin::Other || self.has_calls() {
            return Ok(());
        }
        self.hidden.push_str(text);
        self.hold(text.len())
    }

    pub(super) fn push_text(
        &mut self,
        text: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        self.push(Kind::Text, text, out)
    }

    /// Adds a piece of a tool call, which may be its beginning.
    pub(super) fn push_call(
        &mut self,
        piece: &ToolCall,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let position = match self.position_of(piece) {
            Some(position) => position,
            None => self.begin_call(piece, out)?,
        };
        let arguments = piece.arguments()?;
        let Some(call) = self.calls.get_mut(position) else {
            return Ok(());
        };
        if call.name.is_empty() {
            piece.name().unwrap_or_default().clone_into(&mut call.name);
        }
        if call.id.is_none() {
            call.id = piece.id().map(str::to_owned);
        }
        if call.is_stopped {
            return match arguments.trim() {
                "" => Ok(()),
                _ => Err(UnreadableAnswer::new(ARGUMENTS_ARE_NO_OBJECT)),
            };
        }
        call.arguments.push_str(&arguments);
        call.end.advance(&arguments);
        self.hold(arguments.len())?;
        self.push(Kind::Call(position), &arguments, out)
    }

    /// Stops all blocks.
    pub(super) fn finish(
        &mut self,
        finish: FinishReason,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        while !self.open.is_empty() {
            self.flush_first(out);
            self.stop_first(finish == FinishReason::Length, out)?;
        }
        Ok(())
    }

    /// Returns the call that a piece belongs to: the last one with its index or, without an index, with its id. Some
    /// providers give each call the index 0, but an id of its own.
    fn position_of(&self, piece: &ToolCall) -> Option<usize> {
        let position = match (piece.index, piece.id()) {
            (None, None) => self.calls.len().checked_sub(1),
            (None, Some(id)) => self
                .calls
                .iter()
                .rposition(|call| call.id.as_deref() == Some(id)),
            (index, _) => self.calls.iter().rposition(|call| call.index == index),
        }?;
        let known = self.calls.get(position)?.id.as_deref();
        match (known, piece.id()) {
            (Some(known), Some(id)) if known != id => None,
            _ => Some(position),
        }
    }

    fn begin_call(
        &mut self,
        piece: &ToolCall,
        out: &mut Vec<u8>,
    ) -> Result<usize, UnreadableAnswer> {
        let hidden = mem::take(&mut self.hidden);
        if !hidden.is_empty() {
            self.push(Kind::Hidden, &hidden, out)?;
            self.held_bytes = self.held_bytes.saturating_sub(hidden.len());
        }
        let position = self.calls.len();
        if position == MAX_CALLS {
            return Err(UnreadableAnswer::new("it has too many tool calls"));
        }
        self.calls.push(Call {
            index: piece.index,
            id: piece.id().map(str::to_owned),
            name: String::new(),
            arguments: String::new(),
            end: ObjectEnd::default(),
            is_stopped: false,
        });
        Ok(position)
    }

    /// Adds a piece to its block, and passes on what can be.
    fn push(&mut self, kind: Kind, piece: &str, out: &mut Vec<u8>) -> Result<(), UnreadableAnswer> {
        let block = match kind {
            // A call has one block; text goes on in the last block or begins a new one.
            Kind::Call(_) => self.open.iter_mut().find(|block| block.kind == kind),
            Kind::Thinking(_) | Kind::Hidden | Kind::Text => {
                self.open.back_mut().filter(|block| block.kind == kind)
            }
        };
        match block {
            Some(block) => block.pending.push_str(piece),
            None => self.open.push_back(OpenBlock {
                kind,
                is_started: false,
                pending: piece.to_owned(),
            }),
        }
        self.hold(piece.len())?;
        self.flush_first(out);
        while self.open.len() > 1 && self.is_first_complete() {
            self.stop_first(false, out)?;
            self.flush_first(out);
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), UnreadableAnswer> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > MAX_HELD_BYTES {
            return Err(UnreadableAnswer::new(
                "its reasoning or a tool call is too long",
            ));
        }
        Ok(())
    }

    /// Returns whether nothing can follow in the first block.
    fn is_first_complete(&self) -> bool {
        match self
            .open
            .front()
            .map(|block| (block.kind, block.is_started))
        {
            Some((Kind::Call(position), is_started)) => {
                is_started
                    && self
                        .calls
                        .get(position)
                        .is_some_and(|call| call.end.is_reached)
            }
            Some((Kind::Thinking(_) | Kind::Hidden | Kind::Text, _)) => true,
            None => false,
        }
    }

    /// Passes on what is pending of the first block, and starts it before.
    fn flush_first(&mut self, out: &mut Vec<u8>) {
        let Some(block) = self.open.front_mut() else {
            return;
        };
        let call = match block.kind {
            Kind::Call(position) => self.calls.get(position).map(|call| (position, call)),
            Kind::Thinking(_) | Kind::Hidden | Kind::Text => None,
        };
        // A call can only start with its name.
        if call.is_some_and(|(_, call)| call.name.is_empty()) {
            return;
        }
        let index = self.index;
        if !block.is_started {
            block.is_started = true;
            start_block(index, block.kind, call, &self.message_id, out);
        }
        if block.pending.is_empty() {
            return;
        }
        let pending = block.pending.as_str();
        let signature;
        let delta = match block.kind {
            Kind::Thinking(_) => Delta::Thinking { thinking: pending },
            Kind::Hidden => {
                signature = reasoning::signature_with_text(&self.model, pending);
                Delta::Signature {
                    signature: &signature,
                }
            }
            Kind::Text => Delta::Text { text: pending },
            Kind::Call(_) => Delta::InputJson {
                partial_json: pending,
            },
        };
        Event::ContentBlockDelta { index, delta }.write(out);
        self.held_bytes = self.held_bytes.saturating_sub(pending.len());
        block.pending.clear();
    }

    /// Stops the first block.
    fn stop_first(
        &mut self,
        may_be_cut_off: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), UnreadableAnswer> {
        let Some(block) = self.open.pop_front() else {
            return Ok(());
        };
        if let Kind::Call(position) = block.kind
            && let Some(call) = self.calls.get_mut(position)
        {
            if !block.is_started {
                return Err(UnreadableAnswer::new("a tool call names no tool"));
            }
            if !may_be_cut_off && read_arguments(&call.arguments).is_none() {
                return Err(UnreadableAnswer::new(ARGUMENTS_ARE_NO_OBJECT));
            }
            call.is_stopped = true;
            self.held_bytes = self.held_bytes.saturating_sub(call.arguments.len());
            call.arguments = String::new();
        }
        let index = self.index;
        if block.kind == Kind::Thinking(Origin::ReasoningContent) {
            let signature = &reasoning::signature(&self.model);
            let delta = Delta::Signature { signature };
            Event::ContentBlockDelta { index, delta }.write(out);
        }
        Event::ContentBlockStop { index }.write(out);
        self.index = self.index.saturating_add(1);
        Ok(())
    }
}

fn start_block(
    index: u64,
    kind: Kind,
    call: Option<(usize, &Call)>,
    message_id: &str,
    out: &mut Vec<u8>,
) {
    let id;
    let content_block = match (kind, call) {
        (Kind::Call(_), Some((position, call))) => {
            id = call_id(call.id.as_deref(), message_id, position);
            Block::ToolUse {
                id: &id,
                name: &call.name,
                input: empty_object(),
            }
        }
        (Kind::Thinking(_) | Kind::Hidden, _) => Block::Thinking {
            thinking: "",
            signature: "",
        },
        (Kind::Text | Kind::Call(_), _) => Block::Text { text: "" },
    };
    Event::ContentBlockStart {
        index,
        content_block,
    }
    .write(out);
}

/// The input of a call at its start.
fn empty_object() -> &'static RawValue {
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}

/// Finds the end of a JSON object that comes in pieces.
#[derive(Default)]
struct ObjectEnd {
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    is_reached: bool,
}

impl ObjectEnd {
    fn advance(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                _ if self.is_in_string => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.is_reached |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}
