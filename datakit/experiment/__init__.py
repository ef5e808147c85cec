"""The composition: data, training and evaluation meet here, in files and in callables handed to each of them."""
