DROP TABLE boardinghouse.ready_schemas;
DROP TABLE boardinghouse.clone_plans;
