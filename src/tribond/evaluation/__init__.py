"""How good is a potential on labelled structures?"""
