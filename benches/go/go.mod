module fibra-rounds

go 1.24
