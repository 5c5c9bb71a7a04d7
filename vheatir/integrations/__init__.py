"""This project's models in other programs: spandrel, ComfyUI, the Hugging Face hub."""
