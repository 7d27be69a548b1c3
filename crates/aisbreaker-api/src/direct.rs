//! Reads a call or a conversation state straight from JSON, without a tree of values.
//!
//! It reads what well-behaved clients send. Anything else, such as a member that occurs twice, is
//! left to the readers in [`read`](crate::read), which cost more, accept more, and know what is at
//! fault. What is read here, they read in the same way; tests compare them.

mod object;

use serde::de::{Error as _, MapAccess};
use serde_json::{Map, Value};

use self::object::{Members, Name, Object, set, skip};
use crate::{
    message::Message,
    read::{check_value_count, is_truthy, without_mark},
    request::{
        ImageSource, Input, InputImage, InputText, Request, Role, ServiceProps, state_if_any,
    },
    response::Output,
};

/// Reads the body of a call.
pub(crate) fn call(body: &[u8]) -> Option<(ServiceProps, Request)> {
    read::<CallMembers>(body)
}

/// Reads the messages of a conversation state.
pub(crate) fn messages(state: &[u8]) -> Option<Vec<Message>> {
    read::<StateMembers>(state)
}

fn read<T: Members>(json: &[u8]) -> Option<T::Value> {
    check_value_count(json).ok()?;
    let text = str::from_utf8(without_mark(json)).ok()?;
    let object: Object<T> = serde_json::from_str(text).ok()?;
    Some(object.0)
}

#[derive(Default)]
struct CallMembers {
    service: Option<Object<ServiceMembers>>,
    request: Option<Object<RequestMembers>>,
}

impl Members for CallMembers {
    type Value = (ServiceProps, Request);

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "service" => set(&mut self.service, map.next_value()?),
            "request" => set(&mut self.request, map.next_value()?),
            _ => skip(map),
        }
    }

    fn finish(self) -> Option<Self::Value> {
        Some((self.service?.0, self.request?.0))
    }
}

#[derive(Default)]
struct ServiceMembers {
    service_id: Option<String>,
    url: Option<String>,
    forward_to: Option<Object<Self>>,
    options: Map<String, Value>,
}

impl Members for ServiceMembers {
    type Value = ServiceProps;

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "serviceId" => set(&mut self.service_id, map.next_value()?),
            "url" => set(&mut self.url, map.next_value()?),
            "forward2ServiceProps" => set(&mut self.forward_to, map.next_value()?),
            option => {
                self.options.insert(option.to_owned(), map.next_value()?);
                Ok(())
            }
        }
    }

    fn finish(self) -> Option<ServiceProps> {
        Some(ServiceProps {
            service_id: self.service_id?,
            url: self.url,
            forward_to: self.forward_to.map(|inner| Box::new(inner.0)),
            options: self.options,
        })
    }
}

#[derive(Default)]
struct RequestMembers {
    inputs: Option<Vec<Object<InputMembers>>>,
    conversation_state: Option<String>,
    requested: Option<Value>,
    client_user: Option<Value>,
    intern_options: Option<Value>,
    stream: Option<Value>,
}

impl Members for RequestMembers {
    type Value = Request;

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "inputs" => set(&mut self.inputs, map.next_value()?),
            "conversationState" => set(&mut self.conversation_state, map.next_value()?),
            "requested" => set(&mut self.requested, map.next_value()?),
            "clientUser" => set(&mut self.client_user, map.next_value()?),
            "internOptions" => set(&mut self.intern_options, map.next_value()?),
            "stream" => set(&mut self.stream, map.next_value()?),
            _ => skip(map),
        }
    }

    fn finish(self) -> Option<Request> {
        let inputs = self.inputs.filter(|inputs| !inputs.is_empty())?;
        let intern_options = match self.intern_options {
            None => Map::new(),
            Some(Value::Object(options)) => options,
            Some(_) => return None,
        };
        Some(Request {
            inputs: inputs.into_iter().map(|input| input.0).collect(),
            conversation_state: self.conversation_state.and_then(state_if_any),
            requested: self.requested,
            client_user: self.client_user,
            intern_options,
            stream: is_truthy(self.stream.as_ref()),
        })
    }
}

#[derive(Default)]
struct InputMembers {
    text: Option<Object<TextMembers>>,
    image: Option<Object<ImageMembers>>,
}

impl Members for InputMembers {
    type Value = Input;

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "text" => set(&mut self.text, map.next_value()?),
            "image" => set(&mut self.image, map.next_value()?),
            _ => skip(map),
        }
    }

    fn finish(self) -> Option<Input> {
        match (self.text, self.image) {
            (Some(text), _) => Some(Input::Text(text.0)),
            (None, Some(image)) => Some(Input::Image(image.0)),
            (None, None) => None,
        }
    }
}

#[derive(Default)]
struct TextMembers {
    role: Option<Role>,
    content: Option<String>,
}

impl Members for TextMembers {
    type Value = InputText;

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "role" => set(&mut self.role, role(map)?),
            "content" => set(&mut self.content, map.next_value()?),
            _ => skip(map),
        }
    }

    fn finish(self) -> Option<InputText> {
        Some(InputText {
            role: self.role.unwrap_or(Role::User),
            content: self.content?,
        })
    }
}

#[derive(Default)]
struct ImageMembers {
    role: Option<Role>,
    url: Option<String>,
    base64: Option<String>,
}

impl Members for ImageMembers {
    type Value = InputImage;

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "role" => set(&mut self.role, role(map)?),
            "url" => set(&mut self.url, map.next_value()?),
            "base64" => set(&mut self.base64, map.next_value()?),
            _ => skip(map),
        }
    }

    fn finish(self) -> Option<InputImage> {
        Some(InputImage {
            role: self.role.unwrap_or(Role::User),
            source: match self.url {
                Some(url) => ImageSource::Url(url),
                None => ImageSource::Base64(self.base64?),
            },
        })
    }
}

fn role<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Role>, A::Error> {
    let Some(name) = map.next_value::<Option<Name<'_>>>()? else {
        return Ok(None);
    };
    match Role::of_name(&name.0) {
        Some(role) => Ok(Some(role)),
        None => Err(A::Error::custom("no role")),
    }
}

#[derive(Default)]
struct StateMembers {
    messages: Option<Vec<Object<MessageMembers>>>,
}

impl Members for StateMembers {
    type Value = Vec<Message>;

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "messages" => set(&mut self.messages, map.next_value()?),
            _ => skip(map),
        }
    }

    fn finish(self) -> Option<Vec<Message>> {
        let messages = self.messages?;
        Some(messages.into_iter().map(|message| message.0).collect())
    }
}

#[derive(Default)]
struct MessageMembers {
    input: Option<Object<InputMembers>>,
    output: Option<Output>,
}

impl Members for MessageMembers {
    type Value = Message;

    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "input" => set(&mut self.input, map.next_value()?),
            "output" => set(&mut self.output, map.next_value()?),
            _ => skip(map),
        }
    }

    fn finish(self) -> Option<Message> {
        match (self.input, self.output) {
            (Some(input), _) => Some(Message::Input(input.0)),
            (None, Some(output)) => Some(Message::Output(output)),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests;
