"""What each kind of layer is made of in a dataflow design, where every layer has hardware of its own."""
