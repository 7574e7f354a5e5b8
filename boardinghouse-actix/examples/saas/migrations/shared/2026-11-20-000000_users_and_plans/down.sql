DROP TABLE plans;
DROP TABLE users;
