"""Names of natural and programming languages, and the marks by which a text shows its own."""

import re
from typing import Final

#: ISO 639 codes -> English names.
LANGUAGES: Final[dict[str, str]] = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer",
    "kn": "Kannada", "ko": "Korean", "la": "Latin", "lo": "Lao", "lt": "Lithuanian",
    "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi",
    "ms": "Malay", "my": "Burmese", "nb": "Norwegian", "ne": "Nepali", "nl": "Dutch",
    "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian",
    "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "zh": "Chinese", "cmn": "Chinese", "deu": "German", "eng": "English",
    "fra": "French", "ger": "German", "ita": "Italian", "jpn": "Japanese", "kor": "Korean",
    "por": "Portuguese", "rus": "Russian", "spa": "Spanish", "zho": "Chinese",
}  # fmt: skip
NAMES: Final = {name.lower(): name for name in LANGUAGES.values()}

#: Tags that name a programming or markup language -> its name.
PROGRAMMING: Final[dict[str, str]] = {
    "asm": "Assembly", "assembly": "Assembly", "bash": "Shell", "c": "C", "c#": "C#",
    "c++": "C++", "clojure": "Clojure", "cpp": "C++", "csharp": "C#", "css": "CSS",
    "cuda": "CUDA", "dart": "Dart", "elixir": "Elixir", "erlang": "Erlang", "fortran": "Fortran",
    "go": "Go", "golang": "Go", "haskell": "Haskell", "html": "HTML", "java": "Java",
    "javascript": "JavaScript", "js": "JavaScript", "json": "JSON", "julia": "Julia",
    "kotlin": "Kotlin", "latex": "LaTeX", "lisp": "Lisp", "lua": "Lua", "makefile": "Make",
    "markdown": "Markdown", "matlab": "MATLAB", "ocaml": "OCaml", "perl": "Perl", "php": "PHP",
    "py": "Python", "python": "Python", "python3": "Python", "r": "R", "ruby": "Ruby",
    "rust": "Rust", "scala": "Scala", "shell": "Shell", "sh": "Shell", "solidity": "Solidity",
    "sql": "SQL", "swift": "Swift", "tex": "TeX", "toml": "TOML", "ts": "TypeScript",
    "typescript": "TypeScript", "verilog": "Verilog", "xml": "XML", "yaml": "YAML",
}  # fmt: skip

#: The only script of a language, where it has one; a passage without it is not in that language.
SCRIPTS_OF: Final[dict[str, tuple[str, ...]]] = {
    "Chinese": ("Han",), "Japanese": ("Kana", "Han"), "Korean": ("Hangul", "Han"),
    "Russian": ("Cyrillic",), "Ukrainian": ("Cyrillic",), "Bulgarian": ("Cyrillic",),
    "Macedonian": ("Cyrillic",), "Greek": ("Greek",), "Hebrew": ("Hebrew",),
    "Arabic": ("Arabic",), "Persian": ("Arabic",), "Urdu": ("Arabic",),
    "Hindi": ("Devanagari",), "Marathi": ("Devanagari",), "Nepali": ("Devanagari",),
    "Bengali": ("Bengali",), "Tamil": ("Tamil",), "Telugu": ("Telugu",), "Thai": ("Thai",),
    "Georgian": ("Georgian",), "Armenian": ("Armenian",), "Burmese": ("Myanmar",),
    "Khmer": ("Khmer",), "Lao": ("Lao",), "Kannada": ("Kannada",),
    "Malayalam": ("Malayalam",), "Gujarati": ("Gujarati",), "Sinhala": ("Sinhala",),
}  # fmt: skip

#: Frequent words that few other languages share.
STOP_WORDS: Final[dict[str, frozenset[str]]] = {
    language: frozenset(words.split())
    for language, words in {
        "English": "the of and to in is that for it with as was on be are this by from or have "
        "not you which an at his they can will shall unto if when there their has",
        "German": "der die und das nicht ist ein eine mit zu den von für auf sich dem auch wird "
        "werden oder im des als bei einen kann sind wenn nach durch ich sie zum zur einer",
        "French": "le les des et est une dans pour que qui sur par avec pas vous sont au aux du "
        "ce cette être plus ou mais nous elle il ont même fichier l'on",
        "Spanish": "el los las y en que por con para una es del se al lo como más pero sus este "
        "esta son también fue ha puede si archivo él su",
        "Italian": "il di che è per una con non sono della del dei le gli nel alla questo più "
        "anche come da ha si lo",
        "Portuguese": "o os as não uma com para por mais do da em um são dos das ao como foi "
        "também pode você",
        "Dutch": "de het een en van niet is dat op te zijn met voor aan worden wordt ook bij "
        "door naar als dit",
        "Swedish": "och att det som en är på för med av inte den till ett om kan från",
        "Danish": "og at det som en er på for med af ikke den til et om kan fra jeg",
        "Polish": "i w na z się nie do jest to że jak przez oraz dla od ale być po",
        "Czech": "a se na je že v s pro jsou jako který není to ale podle nebo",
        "Turkish": "ve bir bu için ile da de olarak olan çok daha gibi değil",
        "Romanian": "și în de la cu pe este nu că sau din pentru mai sunt",
        "Finnish": "ja on ei että se joka ovat kun mutta tai myös hän",
        "Hungarian": "a az és hogy nem egy is van ez meg vagy csak",
        "Vietnamese": "và là của không có được trong cho một các với này",
        "Indonesian": "yang dan di ini itu dengan untuk tidak dari pada adalah",
        "Russian": "и в не на что с по для это как из или от к при то если он файл",
        "Ukrainian": "і в не на що з для це як та або від є при до його",
        "Bulgarian": "и в не на че с за да се от е по или са",
    }.items()
}

#: What a program's text holds: language -> expression; each match counts once.
CODE_MARKS: Final[dict[str, re.Pattern[str]]] = {
    language: re.compile(marks, re.MULTILINE)
    for language, marks in {
        "Python": r"^\s*(?:def \w+\(|class \w+.*:$|import \w|from \S+ import|elif |@\w+$)"
        r"|\bself\b|\bNone\b|__\w+__|^\s*(?:if|for|while|with|try|else|except)\b.*:\s*$",
        "C": r"#\s*(?:include|define|ifn?def|endif)\b"
        r"|\b(?:struct|typedef|void|unsigned|sizeof|const)\b"
        r"|\w->\w|\bchar \*|\b(?:template|namespace)\b|\w::\w",
        "JavaScript": r"\b(?:const|let|var) \w+ =|=>|===|\bfunction\s*\w*\("
        r"|\brequire\(|\bconsole\.",
        "Java": r"\b(?:public|private|protected) (?:static |final )*\w+|\bimport java|@Override",
        "Shell": r"^\s*(?:fi|done|esac|then)\b|;;|\$\(|\$\{|\[\[? |\belif \[|^#!.*sh\b|\blocal \w",
        "Perl": r"\bmy [$@%]|\$\w+->|=~|^\s*use \w+|\bsub \w+|@\{",
        "Rust": r"\bfn \w+|\blet mut\b|\bimpl\b|\bpub \w|&mut\b|\w+!\(",
        "Go": r"\bfunc [\w(]|:=|^package \w|\bif err != nil",
        "SQL": r"(?i:\bselect\b[^;]{1,80}\bfrom\b|\binsert into\b|\bcreate table\b|\bwhere\b.*=)",
        "HTML": r"</?(?:div|p|a|span|li|ul|td|tr|html|body|head|script)\b|&nbsp;|/>",
    }.items()
}
