"""Pictures of heat: conductivity, decay and impulse response of every block, spread of a pixel, receptive field.

``explanation`` measures, ``sheet`` draws, ``cli`` is the command.
"""
