// Evaluates sections of Nextflow processes as Groovy, which they are: {config, files, tasks} as JSON in, a list out.
// Of `files` it only says whether their syntax is Groovy's.
// What Nextflow sets (task, meta, the inputs) is set here; what only Nextflow can do (channels, staging) is not.

import groovy.json.JsonOutput
import groovy.json.JsonSlurper

/** An amount of memory, as Nextflow's `4.GB` and `task.memory` are. */
class Memory {
    long mebi
    Memory multiply(Number times) { new Memory(mebi: mebi * times) }
    long toMega() { mebi }
}

/** Variables of which those that nobody sets stand for their own names, as in `input:`. */
class Names extends Binding {
    Names(Map variables) { super(variables) }
    Object getVariable(String name) { hasVariable(name) ? super.getVariable(name) : name }
}

Integer.metaClass.getGB = { -> new Memory(mebi: (delegate as long) * 1024) }
def request = new JsonSlurper().parse(System.in)
def config = new ConfigSlurper().parse(new File(request.config).toURI().toURL())

def settings = { process, label ->
    def own = config.process[label] + [ext: [:]] + config.process[process]
    def first = [task: [attempt: 1]]
    def memory = own.memory.rehydrate(first, first, first)()
    [cpus: own.cpus, memory: memory, process: process, ext: own.ext]
}
def declared = { text, variables ->
    def found = [inputs: [], patterns: [], emits: [], commands: []]
    def note = { options -> if (options.emit) { found.emits << options.emit } }
    def words = [
        val: { name -> found.inputs << name; null },
        eval: { command -> found.commands << command.toString(); null },
        path: { Map options = [:], what -> found.inputs << what; found.patterns << what.toString(); note(options); null },
        tuple: { Object... members -> members.findAll { it instanceof Map }.each(note); null },
    ]
    new GroovyShell(new Names(variables + words)).evaluate(text)
    found
}
def evaluated = { text, variables -> new GroovyShell(new Binding(variables)).evaluate(text) }

request.files.each { new GroovyShell().parse(new File(it)) }
def answers = request.tasks.collect { one ->
    def task = settings(one.process, one.label)
    task.ext = [:] + task.ext + one.ext
    def variables = [task: task] + one.inputs
    def inputs = declared(one.sections.input, [:])
    def block = evaluated(one.sections[one.block], variables)
    def outputs = declared(one.sections.output, variables)
    [
        inputs: inputs.inputs, patterns: outputs.patterns, emits: outputs.emits, commands: outputs.commands, cpus: task.cpus, memory: task.memory.toMega(),
        shell: config.process.shell,
        when: evaluated(one.sections.when ?: 'true', variables), tag: evaluated('"' + one.tag + '"', variables).toString(),
        bash: block.toString().stripIndent(),
    ]
}
println JsonOutput.toJson(answers)
