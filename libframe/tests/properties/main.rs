//! What must hold for any records, any cuts and any damage.
//!
//! A stream is kept as the wire form of its records, so that comparing what came out also
//! checks that a record passed on is the same bytes again.

mod streams;

mod damage;

mod bytes;

mod batches;

mod ledgers;
