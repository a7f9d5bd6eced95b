"""The workers: Celery tasks, and the tensors, models and labeling they drive."""
