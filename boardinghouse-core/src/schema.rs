// @generated automatically by Diesel CLI.

pub mod boardinghouse {
    diesel::table! {
        boardinghouse.clone_plans (schema_name, role_name) {
            schema_name -> Text,
            role_name -> Text,
            fingerprint -> Text,
            plan -> Jsonb,
            compiled_at -> Timestamptz,
        }
    }

    diesel::table! {
        boardinghouse.domains (domain, folder) {
            domain -> Text,
            tenant_id -> Text,
            is_primary -> Bool,
            created_at -> Timestamptz,
            folder -> Text,
            redirect_to_primary -> Bool,
        }
    }

    diesel::table! {
        boardinghouse.ledger (incarnation) {
            incarnation -> Int8,
            schema_oid -> Oid,
            versions -> Array<Nullable<Text>>,
            updated_at -> Timestamptz,
        }
    }

    diesel::table! {
        boardinghouse.logins (digest) {
            digest -> Bytea,
            incarnation -> Int8,
            user_id -> Text,
            expires_at -> Timestamptz,
        }
    }

    diesel::table! {
        boardinghouse.members (user_id, tenant_id) {
            user_id -> Text,
            tenant_id -> Text,
            role -> Text,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        boardinghouse.named_templates (schema_name) {
            schema_name -> Text,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        boardinghouse.ready_schemas (id) {
            id -> Int8,
            schema_name -> Text,
            fingerprint -> Text,
            created_at -> Timestamptz,
            schema_oid -> Nullable<Oid>,
        }
    }

    diesel::table! {
        boardinghouse.tenants (id) {
            id -> Text,
            schema_name -> Text,
            display_name -> Text,
            status -> Text,
            attributes -> Jsonb,
            adopted -> Bool,
            epoch -> Int8,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
            incarnation -> Int8,
            kind -> Nullable<Text>,
        }
    }

    diesel::joinable!(domains -> tenants (tenant_id));
    diesel::joinable!(members -> tenants (tenant_id));

    diesel::allow_tables_to_appear_in_same_query!(
        clone_plans,
        domains,
        ledger,
        logins,
        members,
        named_templates,
        ready_schemas,
        tenants,
    );
}
