DROP TABLE boardinghouse.logins;
