DROP TABLE boardinghouse.domains;
DROP TABLE boardinghouse.tenants;
