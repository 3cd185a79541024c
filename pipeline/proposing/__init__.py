"""`trailrank spec init`: looks at a directory of logs and proposes their spec.

    files -> tables of files with the same columns -> a sample of each -> what its
    columns are -> which table and which column plays which role -> a commented YAML

Every step is a guess from names and values. What a guess rests on, and what nothing in
the files can tell, is said in the YAML; `propose.propose_spec` puts it together.
"""
