//! stub
use crate::error::Result;
use crate::tenant::SchemaName;
#[derive(Debug)]
pub struct Template(SchemaName);
#[derive(Debug)]
pub struct ClonePlan;
impl Template {
    pub fn new(s: SchemaName) -> Self {
        Self(s)
    }
    pub fn compile(&self, _: &mut diesel::PgConnection) -> Result<ClonePlan> {
        Ok(ClonePlan)
    }
}
impl ClonePlan {
    pub fn apply(&self, _: &mut diesel::PgConnection, _: &SchemaName) -> Result<()> {
        Ok(())
    }
}
