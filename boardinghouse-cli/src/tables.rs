//! The `table!` definitions in a file of an application.

use std::{collections::HashMap, fs, path::Path};

use boardinghouse_core::{RequiredColumn, RequiredType, Requirement, Requirements};
use syn::{
    Attribute, Expr, ExprLit, Ident, Item, Lit, LitStr, Path as TypePath, Token, Type, braced,
    parenthesized,
    parse::{Parse, ParseStream},
};

use crate::exit::Failure;

/// What the tables that the file defines need. Those that name their schema are in no tenant.
pub(crate) fn read(file: &Path) -> Result<Requirements, Failure> {
    let unusable = |why: String| {
        Failure::usage(format!(
            "could not read the tables in {}: {why}",
            file.display()
        ))
    };
    let text = fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    let found = required(&text).map_err(|error| {
        let at = error.span().start();
        unusable(format!("line {}: {error}", at.line))
    })?;
    if found.tables().is_empty() {
        return Err(unusable("it holds no diesel::table!".to_owned()));
    }
    Ok(found)
}

fn required(text: &str) -> syn::Result<Requirements> {
    let file = syn::parse_file(text)?;
    let mut types = HashMap::new();
    let mut tables = Vec::new();
    collect(&file.items, &mut types, &mut tables)?;
    let tables = tables.into_iter().filter(|table| table.schema.is_none());
    Ok(tables.fold(Requirements::new(), |all, table| {
        all.and(Requirement {
            columns: table
                .columns
                .iter()
                .map(|column| column.required(&types))
                .collect(),
            name: table.name,
        })
    }))
}

/// The tables, and the names that types of the application have in PostgreSQL.
fn collect(
    items: &[Item],
    types: &mut HashMap<String, String>,
    tables: &mut Vec<Table>,
) -> syn::Result<()> {
    for item in items {
        match item {
            Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    collect(items, types, tables)?;
                }
            }
            Item::Struct(item) => {
                if let Some(name) = postgres_type(&item.attrs)? {
                    types.insert(item.ident.to_string(), name);
                }
            }
            Item::Macro(item) => {
                let last = item.mac.path.segments.last();
                if last.is_some_and(|segment| segment.ident == "table") {
                    tables.push(item.mac.parse_body()?);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `#[diesel(postgres_type(name = "…"))]`.
fn postgres_type(attributes: &[Attribute]) -> syn::Result<Option<String>> {
    let mut found = None;
    for attribute in attributes
        .iter()
        .filter(|one| one.path().is_ident("diesel"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("postgres_type") {
                return meta.parse_nested_meta(|meta| {
                    let value: LitStr = meta.value()?.parse()?;
                    if meta.path.is_ident("name") {
                        found = Some(value.value());
                    }
                    Ok(())
                });
            }
            // Other attributes of Diesel's are none of ours.
            if meta.input.peek(Token![=]) {
                meta.value()?.parse::<Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                let inside;
                parenthesized!(inside in meta.input);
                inside.parse::<proc_macro2::TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// What stands inside of a `table!`.
struct Table {
    schema: Option<String>,
    name: String,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    kind: Type,
}

/// The name that `#[sql_name = "…"]` gives.
fn sql_name(attributes: &[Attribute]) -> syn::Result<Option<String>> {
    for attribute in attributes
        .iter()
        .filter(|one| one.path().is_ident("sql_name"))
    {
        let value = &attribute.meta.require_name_value()?.value;
        if let Expr::Lit(ExprLit {
            lit: Lit::Str(name),
            ..
        }) = value
        {
            return Ok(Some(name.value()));
        }
    }
    Ok(None)
}

fn text(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

impl Parse for Table {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        while input.peek(Token![use]) {
            input.parse::<syn::ItemUse>()?;
        }
        let attributes = Attribute::parse_outer(input)?;
        let mut name = text(&input.parse()?);
        let mut schema = None;
        if input.peek(Token![.]) {
            input.parse::<Token![.]>()?;
            schema = Some(std::mem::replace(&mut name, text(&input.parse()?)));
        }
        if input.peek(syn::token::Paren) {
            let key;
            parenthesized!(key in input);
            key.parse::<proc_macro2::TokenStream>()?;
        }
        let body;
        braced!(body in input);
        let columns = body.parse_terminated(Column::parse, Token![,])?;
        Ok(Self {
            schema,
            name: sql_name(&attributes)?.unwrap_or(name),
            columns: columns.into_iter().collect(),
        })
    }
}

impl Parse for Column {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = Attribute::parse_outer(input)?;
        let name = text(&input.parse()?);
        input.parse::<Token![->]>()?;
        Ok(Self {
            name: sql_name(&attributes)?.unwrap_or(name),
            kind: input.parse()?,
        })
    }
}

impl Column {
    fn required(&self, types: &HashMap<String, String>) -> RequiredColumn {
        let (name, inside) = last(&self.kind);
        let nullable = name == "Nullable";
        let kind = match (nullable, inside) {
            (true, Some(inside)) => kind(inside, types),
            _ => kind(&self.kind, types),
        };
        RequiredColumn {
            name: self.name.clone(),
            kind,
            nullable,
        }
    }
}

/// The name of a type, and what is in its angle brackets.
fn last(kind: &Type) -> (String, Option<&Type>) {
    let Type::Path(path) = kind else {
        return (String::new(), None);
    };
    let path: &TypePath = &path.path;
    let Some(segment) = path.segments.last() else {
        return (String::new(), None);
    };
    let inside = match &segment.arguments {
        syn::PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(syn::GenericArgument::Type(inside)) => Some(inside),
            _ => None,
        },
        _ => None,
    };
    (segment.ident.to_string(), inside)
}

fn kind(of: &Type, types: &HashMap<String, String>) -> Option<RequiredType> {
    match last(of) {
        (name, Some(inside)) if name == "Array" => kind(inside, types)?.array(),
        (name, Some(inside)) if name == "Nullable" => kind(inside, types),
        (name, _) => match types.get(&name) {
            Some(name) => Some(RequiredType::Named(name.clone())),
            None => RequiredType::diesel(&name),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::required;

    #[test]
    fn tables_are_read_as_diesel_reads_them() {
        let text = r#"
            // @generated automatically by Diesel CLI.
            pub mod sql_types {
                #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
                #[diesel(postgres_type(name = "status"))]
                pub struct Status;
            }
            diesel::table! {
                use diesel::sql_types::*;
                use super::sql_types::Status;

                /// What was written.
                #[sql_name = "We Ird"]
                notes (id, kind) {
                    id -> Int4,
                    #[sql_name = "type"]
                    #[max_length = 20]
                    type_ -> Nullable<Varchar>,
                    kind -> Status,
                    tags -> Array<Nullable<Text>>,
                    other -> crate::Unknown,
                }
            }
            table! { public.users { id -> Integer, } }
            diesel::allow_tables_to_appear_in_same_query!(notes, users,);
        "#;
        let required = required(text).unwrap_or_else(|e| panic!("{e}"));
        let lines = required.tables().iter().flat_map(|table| {
            table.columns.iter().map(|column| {
                let kind = column.kind.as_ref().map(ToString::to_string);
                let kind = kind.unwrap_or_default();
                format!("{}.{} {kind} {}", table.name, column.name, column.nullable)
            })
        });
        let expected = [
            "We Ird.id int4 false",
            "We Ird.type text true",
            "We Ird.kind status false",
            "We Ird.tags _text false",
            "We Ird.other  false",
        ];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        assert!(required("table! { notes { id } }").is_err());
        assert!(required("fn f( {").is_err());
    }
}
