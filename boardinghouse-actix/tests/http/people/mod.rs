//! People who belong to several tenants, and switch.

mod browser;
mod forms;
mod links;
mod menu;
mod misuse;
mod rights;
mod site;
mod store;
mod switching;
mod table;
mod tokens;
