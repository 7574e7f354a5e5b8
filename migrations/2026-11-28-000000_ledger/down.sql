DROP TABLE boardinghouse.named_templates;
DROP TABLE boardinghouse.ledger;
