"""What runs inside a sandbox, as its first process: the standard library and these modules are all it has.

It is not trusted. As process 1 it cannot be killed from inside, and as it is not dumpable nobody inside reads
or writes its memory, but it is the user that the code of models is.
"""
