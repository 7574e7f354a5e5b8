//! `boardinghouse drift` and `boardinghouse gate`.

use std::path::Path;

use boardinghouse_core::{Drift, Gate, TenantId};

use crate::{
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::drift::{DriftedReport, GatedReport, RepairReport},
    tables,
};

pub(super) fn drift(
    context: &Context,
    output: &Output,
    tenants: Vec<TenantId>,
    repair_sql: bool,
) -> Result<Exit, Failure> {
    let report = Drift::new(context.pool()?).only(tenants).check()?;
    match repair_sql {
        true => {
            output.report(&RepairReport::new(&report))?;
            for one in &report.incomparable {
                output.note(&format!(
                    "note: tenant {} cannot be compared: {}",
                    one.tenant, one.reasons
                ));
            }
        }
        false => output.report(&DriftedReport(&report))?,
    }
    Ok(match report.is_healthy() {
        true => Exit::Done,
        false => Exit::Pending,
    })
}

pub(super) fn gate(context: &Context, output: &Output, schema: &Path) -> Result<Exit, Failure> {
    let required = tables::read(schema)?;
    let report = Gate::new(context.pool()?).check(&required)?;
    output.report(&GatedReport(&report))?;
    Ok(match report.is_ready() {
        true => Exit::Done,
        false => Exit::Pending,
    })
}
