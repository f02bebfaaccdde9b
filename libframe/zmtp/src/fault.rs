//! Why a connection cannot go on.

use rustix::io::Errno;

/// Why a connection cannot go on. Each of them closes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first bytes are not ZMTP's.
    #[error("the peer does not speak ZeroMQ: it begins with {0:02X?}")]
    Signature(Vec<u8>),
    /// The peer is of before 2013.
    #[error("the peer speaks ZMTP {0}; 3.0 is the oldest that is understood")]
    Version(u8),
    /// The peer wants to be convinced who we are.
    #[error("the peer demands the security mechanism {0:?}; only NULL is spoken")]
    Mechanism(String),
    /// The peer's socket is of a type that this one has nothing to say to.
    #[error("the peer's socket is of type {theirs:?}, which {ours} cannot talk to")]
    SocketType {
        /// What it says it is.
        theirs: String,
        /// What we are.
        ours: &'static str,
    },
    /// The peer refused the connection, in its words.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// A frame has bits that mean nothing.
    #[error("a frame has the flags {0:02X}, which mean nothing")]
    Flags(u8),
    /// A message is over the limit, or claims to be.
    #[error("a message of {claimed} bytes or more is over the limit of {limit}")]
    MessageTooLong {
        /// What its parts add up to, by the lengths they claim.
        claimed: u64,
        /// The limit.
        limit: usize,
    },
    /// A message has more parts than the limit.
    #[error("a message has more than {0} parts")]
    TooManyParts(usize),
    /// A command is over the limit, or claims to be.
    #[error("a command of {claimed} bytes is over the limit of {limit}")]
    CommandTooLong {
        /// The length it claims.
        claimed: u64,
        /// The limit.
        limit: usize,
    },
    /// A command cannot be parsed, or comes when it must not.
    #[error("a command cannot be read: {0}")]
    Command(&'static str),
    /// The peer subscribes to more than there is room for.
    #[error("the peer has more subscriptions than 64 KiB hold")]
    TooManySubscriptions,
    /// The peer did not finish its greeting in time.
    #[error("the peer did not finish its greeting in time")]
    Greeting,
    /// The peer answers no PING.
    #[error("the peer is silent and does not answer")]
    Silent,
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The host's name is not known.
    #[error("{0}")]
    Resolve(String),
    /// The system says why.
    #[error("{0}")]
    System(Errno),
}

impl Fault {
    /// Whether the peer broke the protocol, or is none of ours: it will not be better next
    /// time. The others come and go.
    pub fn is_protocol(&self) -> bool {
        let passing = [Fault::Greeting, Fault::Silent, Fault::Closed];
        !passing.contains(self) && !matches!(self, Fault::System(_) | Fault::Resolve(_))
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault::System(errno)
    }
}
