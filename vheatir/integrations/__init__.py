"""This project's models in other programs: spandrel and ComfyUI."""
