"""What drives a robot: the planner, the real-time loop, and the folder that C++ loads."""
