//! The little of PipeWire's native protocol, version 3, that tells whether a node and the daemon are there, makes a
//! node, and reads and writes the session manager's defaults: hello, registry, ping, an object of a factory, metadata. Messages are a header of four words (object, opcode and size, sequence, descriptors) and one struct
//! of values, each a size, a type and a body padded to 8 bytes; everything in the byte order of the machine.
//! Source: PipeWire's documentation, "Native Protocol".

/// Words from us, the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Begins the conversation.
    Hello,
    /// The name that tools list this client under.
    Name(&'a str),
    /// Asks for every global there is, and for all news of them.
    GetRegistry,
    /// Makes a node that ends with the connection; after [`Request::GetRegistry`], once. An [`Event::Error`] is the answer
    /// if it cannot be.
    CreateNode {
        factory: &'a str,
        properties: &'a [(&'a str, &'a str)],
    },
    /// Asks for what the metadata object `id` holds, and for all news of it; after [`Request::GetRegistry`], once, and not
    /// with [`Request::CreateNode`].
    GetMetadata {
        id: u32,
    },
    /// Writes into what [`Request::GetMetadata`] asked for; without a value, the key is taken out.
    SetMetadata {
        key: &'a str,
        value: Option<&'a str>,
    },
    /// Is answered by [`Event::Done`] when all that was asked before is answered.
    Sync,
    Pong {
        id: i32,
        seq: i32,
    },
}

/// What the daemon said, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Done,
    Ping {
        id: i32,
        seq: i32,
    },
    /// The connection is of no use any more, or the node of ours was not made.
    Error(String),
    Global(Global),
    GlobalRemoved {
        id: u32,
    },
    /// What the metadata holds of PipeWire as a whole.
    Metadata {
        key: String,
        value: Option<String>,
    },
    Other,
}

/// Something that PipeWire has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Global {
    pub id: u32,
    /// `PipeWire:Interface:Node`, for example.
    pub kind: String,
    /// Of its properties, those that tell it from others.
    pub metadata_name: Option<String>,
    pub node_name: Option<String>,
    /// Never used twice, as `id` is.
    pub serial: Option<String>,
}

const VERSION: i32 = 3;
const CORE: u32 = 0;
const CLIENT: u32 = 1;
/// The first number that is free for an object of ours. They are given out in order.
const REGISTRY: u32 = 2;
const NODE: u32 = 3;
const METADATA: u32 = 3;

const NONE: u32 = 1;
const INT: u32 = 4;
const STRING: u32 = 8;
const STRUCT: u32 = 14;

/// What a [`Global`] is that sound or pictures flow through.
pub const NODE_KIND: &str = "PipeWire:Interface:Node";

/// What a [`Global`] is that keeps pairs of name and value.
pub const METADATA_KIND: &str = "PipeWire:Interface:Metadata";

/// Tells our question from others.
const SYNC: i32 = 0x6d70;

const HEADER: usize = 16;
/// The size has 24 bits.
const LONGEST: usize = 1 << 24;

impl Request<'_> {
    /// The whole message; `sequence` counts messages.
    pub fn message(&self, sequence: u32) -> Vec<u8> {
        let (object, opcode, values) = match self {
            Self::Hello => (CORE, 1, int(VERSION)),
            Self::Name(name) => {
                let values = [int(1), string("application.name"), string(name)].concat();
                (CLIENT, 2, pod(STRUCT, &values))
            }
            Self::Sync => (CORE, 2, [int(CORE as i32), int(SYNC)].concat()),
            Self::Pong { id, seq } => (CORE, 3, [int(*id), int(*seq)].concat()),
            Self::GetRegistry => (CORE, 5, [int(VERSION), int(REGISTRY as i32)].concat()),
            Self::CreateNode { factory, properties } => {
                let kind = [string(NODE_KIND), int(VERSION)].concat();
                let properties = pod(STRUCT, &dictionary(properties));
                (CORE, 6, [string(factory), kind, properties, int(NODE as i32)].concat())
            }
            Self::GetMetadata { id } => {
                let what = [int(*id as i32), string(METADATA_KIND), int(VERSION)].concat();
                (REGISTRY, 1, [what, int(METADATA as i32)].concat())
            }
            Self::SetMetadata { key, value } => {
                let (kind, value) = match value {
                    Some(value) => (string("Spa:String:JSON"), string(value)),
                    None => (pod(NONE, &[]), pod(NONE, &[])),
                };
                (METADATA, 1, [int(CORE as i32), string(key), kind, value].concat())
            }
        };
        let body = pod(STRUCT, &values);
        let words = [object, opcode << 24 | body.len() as u32, sequence, 0];
        [words.map(u32::to_ne_bytes).concat(), body].concat()
    }
}

fn pod(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut pod = [(body.len() as u32).to_ne_bytes(), kind.to_ne_bytes()].concat();
    pod.extend_from_slice(body);
    pod.resize(pod.len().next_multiple_of(8), 0);
    pod
}

fn int(value: i32) -> Vec<u8> {
    pod(INT, &value.to_ne_bytes())
}

fn string(text: &str) -> Vec<u8> {
    pod(STRING, &[text.as_bytes(), &[0]].concat())
}

/// A count and so many pairs of name and value.
fn dictionary(properties: &[(&str, &str)]) -> Vec<u8> {
    let pairs = properties.iter().flat_map(|(key, value)| [string(key), string(value)].concat());
    int(properties.len() as i32).into_iter().chain(pairs).collect()
}

/// Cuts what arrives into messages.
#[derive(Debug, Default)]
pub struct Reader(Vec<u8>);

impl Reader {
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next message that is there as a whole. What makes no sense is [`Event::Other`].
    pub fn poll(&mut self) -> Option<Event> {
        let word = |at: usize| Some(u32::from_ne_bytes(*self.0.get(at..)?.first_chunk()?));
        let (object, kind) = (word(0)?, word(4)?);
        let (opcode, size) = (kind >> 24, kind as usize % LONGEST);
        let body = self.0.get(HEADER..HEADER + size)?;
        let event = event(object, opcode, body).unwrap_or(Event::Other);
        self.0.drain(..HEADER + size);
        Some(event)
    }
}

fn event(object: u32, opcode: u32, body: &[u8]) -> Option<Event> {
    let (STRUCT, values, _) = split(body)? else { return None };
    let mut values = Values(values);
    match (object, opcode) {
        // The daemon also says that it is done with the greeting.
        (CORE, 1) => (values.int()? == CORE as i32 && values.int()? == SYNC).then_some(Event::Done),
        (CORE, 2) => Some(Event::Ping { id: values.int()?, seq: values.int()? }),
        (CORE, 3) => {
            let (id, _, code) = (values.int()?, values.int()?, values.int()?);
            let message = values.string()?;
            // Of one object of many, the connection goes on.
            [CORE, NODE].contains(&(id as u32)).then(|| Event::Error(format!("{message} ({code})")))
        }
        (REGISTRY, 0) => {
            let (id, _permissions) = (values.int()? as u32, values.int());
            let (kind, _version) = (values.string().unwrap_or_default(), values.int());
            let mut global = Global { id, kind, ..Global::default() };
            if let Some(properties) = values.structure() {
                global.read(properties);
            }
            Some(Event::Global(global))
        }
        (METADATA, 0) => {
            let (subject, key, _kind) = (values.int()?, values.string()?, values.pass()?);
            (subject == CORE as i32).then(|| Event::Metadata { key, value: values.string() })
        }
        (REGISTRY, 1) => Some(Event::GlobalRemoved { id: values.int()? as u32 }),
        _ => None,
    }
}

/// Type and body of the value in front, and what follows it.
fn split(pods: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (size, rest) = pods.split_first_chunk()?;
    let (kind, rest) = rest.split_first_chunk()?;
    let size = u32::from_ne_bytes(*size) as usize;
    let body = rest.get(..size)?;
    Some((u32::from_ne_bytes(*kind), body, rest.get(size.next_multiple_of(8)..).unwrap_or_default()))
}

struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    fn int(&mut self) -> Option<i32> {
        let (INT, body, rest) = split(self.0)? else { return None };
        self.0 = rest;
        Some(i32::from_ne_bytes(*body.first_chunk()?))
    }

    fn string(&mut self) -> Option<String> {
        let (STRING, body, rest) = split(self.0)? else { return None };
        self.0 = rest;
        Some(String::from_utf8_lossy(body).trim_end_matches('\0').to_owned())
    }

    /// Whatever it is.
    fn pass(&mut self) -> Option<()> {
        self.0 = split(self.0)?.2;
        Some(())
    }

    fn structure(&mut self) -> Option<Values<'a>> {
        let (STRUCT, body, rest) = split(self.0)? else { return None };
        self.0 = rest;
        Some(Values(body))
    }
}

impl Global {
    /// A count and so many pairs of name and value; what is cut off is left out.
    fn read(&mut self, mut properties: Values) {
        for _ in 0..properties.int().unwrap_or(0) {
            let (Some(key), Some(value)) = (properties.string(), properties.string()) else { return };
            match key.as_str() {
                "metadata.name" => self.metadata_name = Some(value),
                "node.name" => self.node_name = Some(value),
                "object.serial" => self.serial = Some(value),
                _ => {}
            }
        }
    }
}

/// What a daemon says.
#[cfg(test)]
pub mod daemon {
    use super::*;

    pub fn said(object: u32, opcode: u32, values: &[Vec<u8>]) -> Vec<u8> {
        let body = pod(STRUCT, &values.concat());
        [[object, opcode << 24 | body.len() as u32, 0, 0].map(u32::to_ne_bytes).concat(), body].concat()
    }

    pub fn global(id: i32, kind: &str, properties: &[(&str, &str)]) -> Vec<u8> {
        let properties = pod(STRUCT, &dictionary(properties));
        said(REGISTRY, 0, &[int(id), int(0o700), string(kind), int(3), properties])
    }

    pub fn removed(id: i32) -> Vec<u8> {
        said(REGISTRY, 1, &[int(id)])
    }

    /// Of a subject, 0 for PipeWire as a whole.
    pub fn metadata(subject: i32, key: &str, value: Option<&str>) -> Vec<u8> {
        let text = |text: Option<&str>| text.map_or_else(|| pod(NONE, &[]), string);
        let kind = text(value.and(Some("Spa:String:JSON")));
        said(METADATA, 0, &[int(subject), string(key), kind, text(value)])
    }

    /// To the wish for a node.
    pub fn refused(reason: &str) -> Vec<u8> {
        said(CORE, 3, &[int(NODE as i32), int(1), int(-2), string(reason)])
    }
}

#[cfg(test)]
mod tests {
    use super::daemon::{global, metadata, refused, removed, said};
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Vec<Event> {
        let mut reader = Reader::default();
        reader.handle_bytes(bytes);
        std::iter::from_fn(|| reader.poll()).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn requests_are_what_libpipewire_writes() {
        let hello =
            "00000000 18000001 01000000 00000000 10000000 0e000000 04000000 04000000 03000000 00000000";
        assert_eq!(hex::encode(Request::Hello.message(1)), hello.replace(' ', ""));
        let registry = "00000000 28000005 02000000 00000000 20000000 0e000000 \
                        04000000 04000000 03000000 00000000 04000000 04000000 02000000 00000000";
        assert_eq!(hex::encode(Request::GetRegistry.message(2)), registry.replace(' ', ""));
        let properties = [
            ("factory.name", "support.null-audio-sink"),
            ("node.name", "x"),
            ("media.class", "Audio/Sink"),
            ("object.linger", "true"),
        ];
        let node = Request::CreateNode { factory: "adapter", properties: &properties };
        // What `pw-cli create-node` says, as strace shows it, but for the numbers of the message and of the node.
        let create = "00000000 28010006 03000000 00000000 20010000 0e000000 \
                      08000000 08000000 61646170 74657200 \
                      18000000 08000000 50697065576972653a496e746572666163653a4e6f646500 \
                      04000000 04000000 03000000 00000000 c8000000 0e000000 04000000 04000000 04000000 00000000 \
                      0d000000 08000000 666163746f72792e6e616d6500 000000 \
                      18000000 08000000 737570706f72742e6e756c6c2d617564696f2d73696e6b00 \
                      0a000000 08000000 6e6f64652e6e616d6500 000000000000 \
                      02000000 08000000 7800 000000000000 \
                      0c000000 08000000 6d656469612e636c61737300 00000000 \
                      0b000000 08000000 417564696f2f53696e6b00 0000000000 \
                      0e000000 08000000 6f626a6563742e6c696e67657200 0000 \
                      05000000 08000000 7472756500 000000 \
                      04000000 04000000 03000000 00000000";
        assert_eq!(hex::encode(node.message(3)), create.replace(' ', ""));
    }

    #[test]
    fn what_matters_is_read_and_the_rest_is_passed_over() {
        let story = [
            said(CORE, 0, &[int(0), string("pipewire-0")]),
            global(47, NODE_KIND, &[("node.name", "desktop")]),
            global(31, METADATA_KIND, &[("object.serial", "31"), ("metadata.name", "default")]),
            said(CORE, 1, &[int(0), int(1)]),
            said(CORE, 1, &[int(0), int(SYNC)]),
            said(CORE, 2, &[int(0), int(9)]),
            said(CORE, 3, &[int(5), int(1), int(-2), string("no such thing")]),
            refused("no such factory"),
            removed(47),
            metadata(0, "default.audio.sink", Some("{ \"name\": \"loudspeaker\" }")),
            metadata(0, "default.configured.audio.sink", None),
            metadata(47, "target.node", Some("50")),
            said(CORE, 3, &[int(0), int(1), int(-32), string("connection error")]),
        ];
        let meant = [
            Event::Other,
            Event::Global(Global {
                id: 47,
                kind: NODE_KIND.into(),
                node_name: Some("desktop".into()),
                ..Global::default()
            }),
            Event::Global(Global {
                id: 31,
                kind: METADATA_KIND.into(),
                metadata_name: Some("default".into()),
                serial: Some("31".into()),
                ..Global::default()
            }),
            Event::Other,
            Event::Done,
            Event::Ping { id: 0, seq: 9 },
            Event::Other,
            Event::Error("no such factory (-2)".into()),
            Event::GlobalRemoved { id: 47 },
            Event::Metadata {
                key: "default.audio.sink".into(),
                value: Some("{ \"name\": \"loudspeaker\" }".into()),
            },
            Event::Metadata { key: "default.configured.audio.sink".into(), value: None },
            Event::Other,
            Event::Error("connection error (-32)".into()),
        ];
        assert_eq!(read(&story.concat()), meant);
    }

    proptest! {
        #[test]
        fn pieces_make_the_same_messages(cut in 0usize..200) {
            let story = [said(REGISTRY, 0, &[int(1), string("a")]), said(REGISTRY, 1, &[int(1)])].concat();
            let (mut reader, mut events) = (Reader::default(), Vec::new());
            let cut = cut.min(story.len());
            for piece in [&story[..cut], &story[cut..]] {
                reader.handle_bytes(piece);
                events.extend(std::iter::from_fn(|| reader.poll()));
            }
            prop_assert_eq!(events, read(&story));
        }

        #[test]
        fn nothing_that_arrives_is_a_fault_of_ours(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
        }
    }
}
