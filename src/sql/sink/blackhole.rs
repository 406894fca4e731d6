//! `'connector' = 'blackhole'`: rows go nowhere; what they cost up to there is left.

use crate::{
    error::Result,
    operator::{Context, Operator, Port},
    record::Chunk,
};

/// Takes rows and drops them.
pub struct BlackholeSink;

impl Operator for BlackholeSink {
    fn process(&mut self, _: Port, _: Chunk, _: &mut Context<'_>) -> Result {
        Ok(())
    }
}
