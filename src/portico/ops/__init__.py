"""Running Portico: demo, doctor, backup."""
