"""One file a table or figure: which audits it needs, how it is drawn, which claims it carries, as ``TARGET``."""
