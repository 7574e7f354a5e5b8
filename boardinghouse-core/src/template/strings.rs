//! Names of the template in places where PostgreSQL does not see them.

use crate::{catalog::read::Definitions, names::SchemaName};

/// Expressions that look an object up by a name in a string when they run, and whose string names
/// the template. PostgreSQL records no dependency for these: the clone would use the template.
pub(super) fn names_in_expressions(found: &Definitions, template: &SchemaName) -> Vec<String> {
    let bare = format!("{}.", template.as_str().replace('\'', "''"));
    let quoted = format!("{}.", template.quoted().to_string().replace('\'', "''"));
    let names_template = |text: &str| {
        (text.contains("::reg") || text.contains("to_reg"))
            && (text.contains(&bare) || text.contains(&quoted))
    };
    let columns = found.columns.iter().filter_map(|column| {
        let text = column.expression.as_deref()?;
        names_template(text).then(|| (format!("column {}", column.name), text))
    });
    let constraints = found.constraints.iter().filter_map(|constraint| {
        let text = constraint.definition.as_str();
        names_template(text).then(|| (format!("constraint {}", constraint.name), text))
    });
    let indexes = found.indexes.iter().filter_map(|index| {
        let text = index.definition.as_str();
        names_template(text).then(|| (format!("index {}", index.name), text))
    });
    columns
        .chain(constraints)
        .chain(indexes)
        .map(|(object, text)| format!("{object}: {text} names the template in a string"))
        .collect()
}
