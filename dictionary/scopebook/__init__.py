"""The dictionary: tables, queries, jobs and settings that the API and the workers share."""
