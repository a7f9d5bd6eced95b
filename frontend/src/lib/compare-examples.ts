/** What a reader without a text at hand can compare; the demo model knows all of it. */
import type { Pair } from "./compare";

interface Example extends Pick<Pair, "a" | "b"> {
  name: string;
}

export const EXAMPLES: Example[] = [
  {
    name: "A text, and one that turns into Chinese",
    a: ["The house stands beside the river and the file system has commands for the documents."],
    b: ["The house stands beside the river and 文件系统的命令行参数说明的文档。"],
  },
  {
    name: "Sentences and code, eight texts each",
    a: [
      "The ship left the harbour before the storm came over the sea.",
      "And the people of the city went out to meet the king.",
      "She had not seen her brother since the spring of that year.",
      "The old road leads from the village through the forest to the mill.",
      "Nothing was heard in the house but the wind and the rain.",
      "In the evening they sat by the fire and spoke of the war.",
      "He opened the letter, and his hand began to shake.",
      "The river was so high that nobody could cross it for three days.",
    ],
    b: [
      "def read(self, path):\n    return open(path).read()",
      "for name in sorted(names):\n    print(name, len(name))",
      "class Node:\n    def __init__(self, value):\n        self.value = value",
      "if not isinstance(value, int):\n    raise TypeError(value)",
      "import os\n\nfiles = [os.path.join(root, name) for name in os.listdir(root)]",
      "try:\n    return int(text)\nexcept ValueError:\n    return None",
      "assert parser.parse(line) == {'a': 1, 'b': [2, 3]}",
      "while queue:\n    item = queue.pop()\n    seen.add(item.key)",
    ],
  },
];
