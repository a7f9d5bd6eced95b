"""In and out: Parquet, which holds everything, and Neuronpedia's dump layout."""
